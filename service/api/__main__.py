"""`python -m service.api`: serve the API at the address of the settings."""

import logging
import sys

import uvicorn

from service import logs
from service.api.app import create_app
from service.serving import serve
from service.settings import Settings
from service.tokens import ALLOWED


def without_query(record: logging.LogRecord) -> bool:
    """Keep the query out of a line about a request: that of a login link lets its readers in."""
    match record.args:
        case (client, method, str(path), *others):
            record.args = (client, method, path.partition("?")[0], *others)
    return True


def main() -> None:
    logs.set_up()
    logging.getLogger("uvicorn.access").addFilter(without_query)
    settings = Settings.read_or_exit()
    if settings.token is None:  # nobody could do anything, nor make a token for it
        sys.exit(
            f"error: POLAR_TOKEN is not set; allowed: the owner's token, {ALLOWED}, such as from "
            "`openssl rand -hex 32`"
        )
    serve(
        uvicorn.Config(
            create_app(settings),
            host=settings.api_host,
            port=settings.api_port,
            fd=settings.api_fd,
            log_config=None,
            # watchers would hold their connections for as long as their runs go on
            timeout_graceful_shutdown=3,
        )
    )


if __name__ == "__main__":
    main()
