"""`python -m workers.tracking`: copies our tables to MLflow until SIGTERM or SIGINT."""

import asyncio
import contextlib
import logging
import signal

from service.settings import Settings
from workers.tracking.tracker import track


async def _track_until_stopped(settings: Settings) -> None:
    tracker = asyncio.ensure_future(track(settings))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, tracker.cancel)
    with contextlib.suppress(asyncio.CancelledError):  # it may be stopped at any moment
        await tracker


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request
    asyncio.run(_track_until_stopped(Settings.read_or_exit()))
