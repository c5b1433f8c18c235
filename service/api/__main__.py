"""`python -m service.api`: serve the API at the address of the settings."""

import gc
import logging
import os
import sys
import tempfile

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from service import logs
from service.api.app import create_app
from service.processes import TOGETHER
from service.serving import AT_ONCE, Protocol, make_room, serve
from service.settings import Settings
from service.tokens import ALLOWED


def without_query(record: logging.LogRecord) -> bool:
    """Keep the query out of a line about a request: that of a login link lets its readers in."""
    match record.args:
        case (client, method, str(path), *others):
            record.args = (client, method, path.partition("?")[0], *others)
    return True


def main() -> None:
    _log()
    settings = Settings.read_or_exit()
    if settings.token is None:  # nobody could do anything, nor make a token for it
        sys.exit(
            f"error: POLAR_TOKEN is not set; allowed: the owner's token, {ALLOWED}, such as from "
            "`openssl rand -hex 32`"
        )
    config = uvicorn.Config(
        f"service.api.__main__:{app.__name__}",
        factory=True,
        host=settings.api_host,
        port=settings.api_port,
        fd=settings.api_fd,
        http=Protocol,
        backlog=AT_ONCE,
        workers=settings.api_workers,
        log_config=None,
        # watchers would hold their connections for as long as their runs go on
        timeout_graceful_shutdown=3,
    )
    if settings.api_workers == 1:
        serve(config)
        return
    with tempfile.TemporaryDirectory(prefix="polar-metrics-") as counted:
        os.environ[TOGETHER] = counted
        Multiprocess(config, [config.bind_socket()]).run()


def app() -> FastAPI:
    """The service as the environment sets it, in a process of its own."""
    _log()
    make_room()
    made = create_app(Settings.read_or_exit())
    # what exists now stays, so that collections look only at what requests have made: a page of
    # 2,000 runs took twice as long while each collection looked at all modules, too
    gc.freeze()
    return made


def _log() -> None:
    logs.set_up()
    logging.getLogger("uvicorn.access").addFilter(without_query)


if __name__ == "__main__":
    main()
