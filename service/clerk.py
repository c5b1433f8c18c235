"""`python -m service.clerk`: the broker and the tracker in one process, until SIGTERM or SIGINT.

Both wait most of the time, so they share an interpreter and its libraries. If one of them fails,
the process ends, and whoever restarts it restarts both.
"""

import asyncio

from service import logs
from service.processes import until_stopped
from service.settings import Settings
from service.studies.advancing import advance, read_settings_or_exit
from service.studies.webhooks import tell
from workers.tracking.tracker import track


async def work(settings: Settings) -> None:
    """Advance studies, tell MLflow and webhooks, until this is cancelled or one of them fails."""
    async with asyncio.TaskGroup() as both:
        both.create_task(advance(settings))
        both.create_task(track(settings))
        both.create_task(tell(settings))


if __name__ == "__main__":
    logs.set_up()
    asyncio.run(until_stopped(work(read_settings_or_exit())))
