"""The compose file and the image, as far as they can be checked without an engine."""

import importlib.util
import re
import shlex
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.embedded.postgres import Postgres
from service.embedded.stack import Addresses, stages
from service.programs import TRACKING_SERVER
from service.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "api", "tracking", "studies", "dashboard", "agent")


@pytest.mark.parametrize("name", OURS)
def test_every_process_of_ours_is_a_module_of_the_package(name: str) -> None:
    command = SERVICES[name]["command"]

    assert command[:2] == ["python", "-m"]
    assert importlib.util.find_spec(command[2]) is not None


@pytest.mark.parametrize("name", OURS)
def test_every_setting_that_is_given_exists_and_none_is_missing(name: str) -> None:
    given = {key for key in SERVICES[name]["environment"] if key != "POLAR_DATA_DIR"}
    known = {f"POLAR_{field.upper()}" for field in Settings.model_fields}
    required = {
        f"POLAR_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if field.is_required()
    }

    assert given <= known
    assert required <= given


def test_the_settings_of_compose_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"${POLAR_TOKEN": "t" * 64, "${POLAR_PASSWORD": "secret"}
    for name, value in SERVICES["api"]["environment"].items():
        given = re.sub(r"(\$\{\w+)[^}]*\}", lambda found: chosen.get(found[1], ""), str(value))
        monkeypatch.setenv(name, given)

    settings = Settings()

    assert settings.sqlalchemy_url == "postgresql+psycopg://polar:secret@postgres:5432/app"
    assert settings.api_host == "0.0.0.0"


def test_mlflow_is_set_up_as_by_polar_up(postgres: Postgres, tmp_path: Path) -> None:
    with closing(Addresses.of(tmp_path)) as addresses:
        ((mlflow,), *_) = stages(postgres, addresses, [])

    assert SERVICES["mlflow"]["environment"].keys() == mlflow.environment.keys()
    assert SERVICES["mlflow"]["command"][:2] == ["uvicorn", TRACKING_SERVER]
    assert TRACKING_SERVER in mlflow.command


def test_what_others_wait_for_exists() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_only_loopback_ports_are_opened() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_a_missing_password_or_token_stops_the_start() -> None:
    text = (ROOT / "docker-compose.yml").read_text()

    assert len(re.findall(r"\$\{POLAR_PASSWORD:\?", text)) == 3
    assert "${POLAR_PASSWORD}" not in text
    assert len(re.findall(r"\$\{POLAR_TOKEN:\?", text)) == 4
    assert "${POLAR_TOKEN}" not in text


def test_the_image_copies_files_that_exist_and_all_packages() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [
        source for line in lines if line.startswith("COPY") for source in shlex.split(line)[1:-1]
    ]

    assert all((ROOT / source).exists() for source in copied)
    assert {"polar", "service", "workers", "migrations", "pyproject.toml"} <= set(copied)


def test_files_that_compose_mounts_exist() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    local = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]

    assert local == ["./scripts/create-databases.sql"]
    assert (ROOT / local[0]).is_file()
