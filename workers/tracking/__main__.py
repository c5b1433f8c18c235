"""`python -m workers.tracking`: copies our tables to MLflow until SIGTERM or SIGINT."""

import asyncio

from service import logs
from service.processes import until_stopped
from service.settings import Settings
from workers.tracking.tracker import track

if __name__ == "__main__":
    logs.set_up()
    asyncio.run(until_stopped(track(Settings.read_or_exit())))
