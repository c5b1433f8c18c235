"""What the tests of whole stacks share."""

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from service.embedded.postgres import Postgres
from service.storage.roles import Role


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """As `tmp_path`, but Postgres, which root runs as another user, can get in.

    Else its data would go to a folder of the system, and stay there.
    """
    folder = Path(tempfile.mkdtemp(prefix="polar-home-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def broker(postgres: Postgres, app_url: str, tmp_path: Path) -> Iterator[Path]:
    """The log of a broker in a process of its own."""
    optuna, log = f"optuna_{uuid.uuid4().hex}", tmp_path / "broker.log"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{optuna}" OWNER {Role.OPTUNA}')
        environment = {
            "POLAR_DATABASE_URL": app_url,
            "POLAR_OPTUNA_URL": postgres.url(optuna, Role.OPTUNA),
            "POLAR_ARTIFACTS": str(tmp_path),
            "POLAR_MLFLOW_URL": "",
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "service.studies"],
                env=os.environ | environment,
                stdout=output,
                stderr=output,
            )
        yield log
        process.kill()
        process.wait()
        admin.execute(f'DROP DATABASE "{optuna}" WITH (FORCE)')
