"""How to open a study with Optuna itself; it shows the password only to who can read it anyway."""

import os
from pathlib import Path

from polar.errors import InvalidInput
from service.api.studies.schemas import StudyView
from service.cli.connection import spec_of
from service.embedded.errors import EmbeddedError
from service.embedded.postgres import url_of
from service.embedded.running import find_running
from service.homes import resolved_home
from service.settings import Settings
from service.storage.roles import Role
from service.studies.optimiser import study_name


def how_to_open(study: StudyView, storage: str) -> str:
    """Where the study is, and the two lines of Python that open it."""
    name = study_name(study.id, spec_of(study))
    return (
        f"storage  {storage}\nstudy    {name}\n\n"
        f"import optuna\nstudy = optuna.load_study(study_name={name!r}, storage={storage!r})"
    )


def find_storage(service_url: str, home: Path) -> str:
    """Address of Optuna's database for SQLAlchemy, from the environment or else from the home.

    Raises:
        InvalidInput: there is no address, one is wrong, or the service is not that of the home.
    """
    named = os.environ.get("POLAR_DATABASE_URL") or os.environ.get("POLAR_OPTUNA_URL")
    database = named or _optuna_of_home(service_url, resolved_home(home))
    settings = Settings.read(database_url=database, artifacts=Path(), mlflow_url="")
    return settings.optuna_sqlalchemy_url


def _optuna_of_home(service_url: str, home: Path) -> str:
    try:
        stack = find_running(home)
        if stack is None or stack.api_url != service_url.replace("localhost", "127.0.0.1"):
            raise InvalidInput(
                f"the database of {service_url} is not in {home}: name it with --home, or the "
                f"address of the database `optuna`, such as for the role {Role.VIEWER}, with "
                "POLAR_OPTUNA_URL"
            )
        return url_of(home, "optuna", Role.VIEWER)
    except EmbeddedError as error:
        raise InvalidInput(str(error)) from error
