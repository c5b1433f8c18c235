"""The compose file and the image, as far as they can be checked without an engine."""

import importlib.util
import re
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.embedded.postgres import Postgres
from service.embedded.stack import Addresses, stages
from service.programs import TRACKING_SERVER
from service.settings import Settings
from service.storage.roles import DATABASES, GUESTS, Role

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROCESSES = ("api", "tracking", "studies", "dashboard", "agent", "agent-gpu")
OURS = ("roles", "migrate", *PROCESSES)


@pytest.mark.parametrize("name", OURS)
def test_every_process_of_ours_is_a_module_of_the_package(name: str) -> None:
    command = SERVICES[name]["command"]

    assert command[:2] == ["python", "-m"]
    assert importlib.util.find_spec(command[2]) is not None


@pytest.mark.parametrize("name", PROCESSES)
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
    chosen = {"${POLAR_TOKEN": "t" * 64, "${POLAR_APP_PASSWORD": "secret"}
    for name, value in SERVICES["api"]["environment"].items():
        form = r"(\$\{\w+)(?::-([^}]*))?[^}]*\}"
        given = re.sub(form, lambda found: chosen.get(found[1], found[2] or ""), str(value))
        monkeypatch.setenv(name, given)

    settings = Settings()

    assert settings.sqlalchemy_url == "postgresql+psycopg://polar_app:secret@postgres:5432/app"
    assert settings.api_host == "0.0.0.0"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {
            "POLAR_WEBHOOKS": "https://a.example",
            "POLAR_WEBHOOK_SECRET": "s" * 64,
            "POLAR_WEBHOOKS_ALLOW_PRIVATE": "true",
        },
    ],
)
def test_the_broker_alone_gets_webhooks_which_may_be_left_out(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SERVICES["studies"]["environment"].items():
        filled = re.sub(
            r"\$\{(\w+)(?::-)?([^}]*)\}", lambda found: given.get(found[1], found[2]), str(value)
        )
        monkeypatch.setenv(name, "postgresql://h/app" if "postgresql:" in filled else filled)

    settings = Settings.read()

    secret = settings.webhook_secret and settings.webhook_secret.get_secret_value()
    assert settings.webhooks == given.get("POLAR_WEBHOOKS", "")
    assert secret == given.get("POLAR_WEBHOOK_SECRET")
    assert settings.webhooks_allow_private == bool(given)
    holders = {name for name in SERVICES if "WEBHOOK" in str(SERVICES[name])}
    assert holders == {"studies"}


def test_mlflow_is_set_up_as_by_polar_up(postgres: Postgres, tmp_path: Path) -> None:
    with closing(Addresses.of(tmp_path)) as addresses:
        ((mlflow,), *_) = stages(postgres, addresses, [])

    assert SERVICES["mlflow"]["environment"].keys() == mlflow.environment.keys() - {
        "POLAR_HOME_ID"
    }
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
    secrets = re.findall(r"\$\{POLAR_\w*(?:PASSWORD|TOKEN)(..)", str(SERVICES))

    assert len(secrets) > 10
    assert set(secrets) == {":?"}


def test_the_script_of_roles_gets_all_passwords_and_every_process_its_own() -> None:
    def given(name: str) -> set[str]:
        return set(re.findall(r"\$\{POLAR_(\w+)_PASSWORD", str(SERVICES[name]["environment"])))

    assert given("roles") == {"SUPERUSER", *Role.__members__}
    assert set(SERVICES["roles"]["environment"]) == {
        "POLAR_SUPERUSER_URL",
        *(role.password_variable for role in Role),
    }
    assert {name: given(name) for name in SERVICES if name != "roles"} == {
        "postgres": {"SUPERUSER"},
        "migrate": {"OWNER"},
        "mlflow": {"MLFLOW"},
        "api": {"APP"},
        "tracking": {"APP"},
        "studies": {"APP", "OPTUNA"},
        "dashboard": {"VIEWER"},
        "agent": {"AGENT"},
        "agent-gpu": {"AGENT"},
    }


def test_the_roles_in_addresses_are_those_of_their_passwords() -> None:
    logins = re.findall(
        r"postgresql(?:\+psycopg)?://polar_(\w+):\$\{POLAR_(\w+)_PASSWORD[^}]*\}@postgres:5432/(\w+)",
        (ROOT / "docker-compose.yml").read_text(),
    )

    assert len(logins) == 6
    for user, password, database in logins:
        role = Role[password]
        assert role == f"polar_{user}"
        assert role in (DATABASES[database], *GUESTS[database])


def test_the_image_copies_files_that_exist_and_all_packages() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [
        source for line in lines if line.startswith("COPY") for source in shlex.split(line)[1:-1]
    ]

    assert all((ROOT / source).exists() for source in copied)
    assert {"polar", "service", "workers", "migrations", "pyproject.toml"} <= set(copied)


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_closed_and_bounded(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]

    assert service["read_only"] is True
    assert "/tmp" in {mount.split(":")[0] for mount in service["tmpfs"]}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert limits.keys() == {"cpus", "memory", "pids"}
    # the image of Postgres begins as root, and becomes another user by itself
    assert service.get("cap_drop") == (None if name == "postgres" else ["ALL"])


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"roles", "migrate"}))  # which end
def test_the_health_of_every_container_is_looked_at(name: str) -> None:
    kind, program, *rest = SERVICES[name]["healthcheck"]["test"]

    assert kind == "CMD"
    if program == "python":
        compile(rest[1], name, "exec")


def test_the_health_of_the_workers_is_that_they_reach_their_database(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = SERVICES["agent"]["healthcheck"]["test"][1:]
    results = []
    for port in (postgres.port, 1):
        url = postgres.url("postgres").replace(f":{postgres.port}/", f":{port}/")
        monkeypatch.setenv("POLAR_DATABASE_URL", url)
        done = subprocess.run([sys.executable, *check[1:]], capture_output=True, check=False)
        results.append(done.returncode)

    assert results == [0, 1]


def test_one_agent_starts_with_each_profile() -> None:
    of_profile = {
        name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service
    }
    reserved = SERVICES["agent-gpu"]["deploy"]["resources"]["reservations"]["devices"]

    assert of_profile == {"agent": ["cpu"], "agent-gpu": ["gpu"]}
    assert reserved == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert SERVICES["agent"]["deploy"]["resources"].keys() == {"limits"}


def test_the_image_runs_as_a_user_that_may_write_to_what_is_mounted() -> None:
    image = (ROOT / "Dockerfile").read_text()
    mounts = [mount.removesuffix(":ro") for mount in SERVICES["agent"]["volumes"]]
    mounted = {mount.rpartition(":")[2] for mount in mounts}

    assert re.search(r"^USER [1-9]\d*$", image, re.MULTILINE)
    (own,) = re.findall(r"install -d -o polar (.*)", image)
    assert mounted == set(own.split())
