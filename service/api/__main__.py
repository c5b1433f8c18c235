"""`python -m service.api`: serve the API at the address of the settings."""

import logging
import sys

import uvicorn
from pydantic import ValidationError

from service.api.app import create_app
from service.settings import Settings


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    try:
        settings = Settings.read()
    except ValidationError as error:
        sys.exit(f"the environment lacks or has wrong settings:\n{_faults(error)}")
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        # watchers hold their connections for as long as runs go on
        timeout_graceful_shutdown=3,
    )


def _faults(error: ValidationError) -> str:
    return "\n".join(
        "  " + ": ".join([*(f"POLAR_{part}".upper() for part in fault["loc"]), fault["msg"]])
        for fault in error.errors(include_input=False)  # a password may be part of it
    )


if __name__ == "__main__":
    main()
