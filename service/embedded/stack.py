"""The processes of `polar up`, as data."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Self

from service.database_urls import sqlalchemy_url
from service.embedded.postgres import Postgres
from service.embedded.state import (
    identity,
    listen,
    owners_token,
    port_of,
    read_json,
    write_json,
)
from service.embedded.supervised import Launch
from service.homes import resolved_home
from service.processes import ONE_THREAD, TOGETHER
from service.programs import TRACKING_SERVER, Program, python
from service.settings import Settings
from service.storage.roles import Role

API_PORT = 8650
MLFLOW_PORT = 5650
DASHBOARD_PORT = 8651

#: The variable of the nice value of trainings, and this value for those on the CPU.
NICENESS, OF_TRAININGS = "POLAR_TRAINING_NICENESS", 10

#: Groups of programs. All are started together, but stopped group by group, the last group first.
Stages = Sequence[Sequence[Launch]]


@dataclass(frozen=True)
class Addresses:
    """Where the servers listen; the home remembers the ports, so bookmarks stay valid.

    The supervisor chooses the ports and keeps the sockets open to the end, and its children
    inherit them. No other stack can take a port in between, and a client that connects while a
    child restarts waits for it.
    """

    api_socket: socket
    mlflow_socket: socket
    dashboard_socket: socket

    @classmethod
    def of(cls, home: Path) -> Self:
        """Listen on the ports of the last start, or on other ports where those are taken."""
        path = home / "ports.json"
        first = {"api": API_PORT, "mlflow": MLFLOW_PORT, "dashboard": DASHBOARD_PORT}
        known = first | (read_json(path) or {})
        sockets = {name: listen(known[name]) for name in first}
        write_json(path, {name: port_of(held) for name, held in sockets.items()})
        return cls(sockets["api"], sockets["mlflow"], sockets["dashboard"])

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{port_of(self.api_socket)}"

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{port_of(self.mlflow_socket)}"

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{port_of(self.dashboard_socket)}"

    def close(self) -> None:
        """Close our copies of the sockets; children that inherited them still serve them."""
        self.api_socket.close()
        self.mlflow_socket.close()
        self.dashboard_socket.close()


def check_settings(home: Path) -> Settings:
    """Read the settings as the processes will: from the environment, except those we set.

    Raises:
        InvalidInput: some settings are wrong.
    """
    home = resolved_home(home)
    nowhere = "postgresql://127.0.0.1/app"
    return Settings.read(
        home=home, database_url=nowhere, artifacts=home / "artifacts", mlflow_url=""
    )


def stages(
    postgres: Postgres,
    addresses: Addresses,
    slots: Sequence[str],
    workers: int = 1,
    webhooks: Mapping[str, str] | None = None,
) -> Stages:
    """All programs besides Postgres, with one agent for each slot, which is a device.

    The processes of the API accept clients at the same socket. The variables of webhooks, with
    their secret, are for the clerk alone.
    """
    home = postgres.home
    token = owners_token(home)
    at_door = {
        "POLAR_TOKEN": token,
        "POLAR_API_URL": addresses.api,
        "POLAR_HOME_ID": identity(home),
    }
    ours = {
        "POLAR_HOME": str(home),
        "POLAR_HOME_ID": identity(home),
        "POLAR_DATABASE_URL": postgres.url("app", Role.APP),
        "POLAR_ARTIFACTS": str(home / "artifacts"),
        "POLAR_MLFLOW_URL": addresses.mlflow,
        "POLAR_DASHBOARD_URL": addresses.dashboard,
        "POLAR_API_HOST": "127.0.0.1",
        "POLAR_API_PORT": str(port_of(addresses.api_socket)),
    }
    of_agent = {"POLAR_DATABASE_URL": postgres.url("app", Role.AGENT)}
    # a GPU would wait for a process that waits for the CPU
    nice = {NICENESS: os.environ.get(NICENESS, str(OF_TRAININGS))}
    agents = [
        Launch(
            f"agent-{number}",
            python(Program.AGENT, "--device", device, "--name", f"agent-{number}"),
            ours | ONE_THREAD | of_agent | (nice if device == "cpu" else {}),
        )
        for number, device in enumerate(slots)
    ]
    return (
        (
            _mlflow(
                home,
                postgres.url("mlflow", Role.MLFLOW),
                at_door,
                addresses.mlflow_socket.fileno(),
            ),
        ),
        _apis(ours, token, addresses.api_socket.fileno(), workers),
        (
            _clerk(
                {**ours, "POLAR_MLFLOW_TOKEN": token, **(webhooks or {})},
                postgres.url("optuna", Role.OPTUNA),
            ),
            _dashboard(
                {**ours, **at_door},
                postgres.url("optuna", Role.VIEWER),
                addresses.dashboard_socket.fileno(),
            ),
            *agents,
        ),
    )


def _apis(ours: Mapping[str, str], token: str, listening: int, workers: int) -> Sequence[Launch]:
    environment = {
        **ours,
        "POLAR_TOKEN": token,
        "POLAR_API_FD": str(listening),
        "POLAR_API_WORKERS": "1",  # each of these processes is one of them
    }
    if workers > 1:
        environment[TOGETHER] = str(_empty(Path(ours["POLAR_HOME"]) / "metrics"))
    names = ["api", *(f"api-{number}" for number in range(2, workers + 1))]
    return [
        Launch(name, python(Program.API), environment, descriptors=[listening]) for name in names
    ]


def _empty(folder: Path) -> Path:
    """The folder, without what the processes of the last start have counted."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def _clerk(ours: Mapping[str, str], optuna: str) -> Launch:
    return Launch("clerk", python(Program.CLERK), {**ours, "POLAR_OPTUNA_URL": optuna})


def _dashboard(ours: Mapping[str, str], optuna: str, listening: int) -> Launch:
    environment = {
        **ours,
        "POLAR_DATABASE_URL": optuna,  # it needs no other
        "POLAR_OPTUNA_URL": optuna,
        "POLAR_DASHBOARD_FD": str(listening),
    }
    return Launch(
        "dashboard",
        python(Program.DASHBOARD),
        environment,
        descriptors=[listening],
        waits_for_clients=True,
    )


def _mlflow(home: Path, database: str, at_door: Mapping[str, str], listening: int) -> Launch:
    """MLflow as one process of 190 MiB; `mlflow server` starts ten, for jobs that we do not have.

    The variables with an underscore are those that `mlflow server` itself passes to its workers
    (mlflow/server/constants.py). On a command line, every user could see the password.
    """
    any_port = "localhost,localhost:*,127.0.0.1,127.0.0.1:*"
    environment = {
        **at_door,
        "_MLFLOW_SERVER_FILE_STORE": sqlalchemy_url(database),
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": (home / "mlflow").as_uri(),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": os.environ.get("MLFLOW_SERVER_ALLOWED_HOSTS", any_port),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = python(Program.RESTING, TRACKING_SERVER, str(listening))
    return Launch("mlflow", command, environment, descriptors=[listening], waits_for_clients=True)
