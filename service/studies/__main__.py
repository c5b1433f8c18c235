"""`python -m service.studies`: the broker, in the foreground, until SIGTERM or SIGINT."""

import asyncio

from service import logs
from service.processes import until_stopped
from service.settings import Settings
from service.studies.advancing import advance, read_settings_or_exit
from service.studies.webhooks import tell


async def work(settings: Settings) -> None:
    """Advance studies and tell webhooks, until this is cancelled or one of the two fails."""
    async with asyncio.TaskGroup() as both:
        both.create_task(advance(settings))
        both.create_task(tell(settings))


if __name__ == "__main__":
    logs.set_up()
    asyncio.run(until_stopped(work(read_settings_or_exit())))
