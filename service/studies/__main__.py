"""`python -m service.studies`: the broker, in the foreground, until SIGTERM or SIGINT."""

import asyncio

from service import logs
from service.processes import until_stopped
from service.settings import Settings
from service.studies.advancing import advance

if __name__ == "__main__":
    logs.set_up()
    asyncio.run(until_stopped(advance(Settings.read_or_exit())))
