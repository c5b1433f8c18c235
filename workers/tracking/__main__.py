"""`python -m workers.tracking`: copies our tables to MLflow until SIGTERM or SIGINT."""

import asyncio
import logging

from service.processes import until_stopped
from service.settings import Settings
from workers.tracking.tracker import track

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request
    asyncio.run(until_stopped(track(Settings.read_or_exit())))
