import json
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from service.embedded import supervisor
from service.embedded.postgres import Postgres
from service.embedded.stack import Addresses, Stages, stages
from service.embedded.state import choose_port, owners_token, port_of
from service.storage.roles import Role


@pytest.fixture
def addresses(tmp_path: Path) -> Iterator[Addresses]:
    with closing(Addresses.of(tmp_path)) as addresses:
        yield addresses


def urls_of(home: Path) -> tuple[str, str, str]:
    """Those of a stack that starts and stops."""
    with closing(Addresses.of(home)) as addresses:
        return addresses.api, addresses.mlflow, addresses.dashboard


def test_the_ports_are_those_of_the_last_start(tmp_path: Path) -> None:
    first = urls_of(tmp_path)

    assert urls_of(tmp_path) == first
    ports = json.loads((tmp_path / "ports.json").read_text())
    assert first == tuple(
        f"http://127.0.0.1:{ports[name]}" for name in ("api", "mlflow", "dashboard")
    )


def test_a_taken_port_is_replaced_and_the_new_one_kept(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = port_of(taken)
        (tmp_path / "ports.json").write_text(json.dumps({"api": port, "mlflow": choose_port()}))

        urls = urls_of(tmp_path)

    assert urls[0] != f"http://127.0.0.1:{port}"
    assert urls_of(tmp_path) == urls


def test_a_home_from_before_the_dashboard_keeps_its_other_ports(tmp_path: Path) -> None:
    ports = {"api": choose_port(), "mlflow": choose_port()}
    (tmp_path / "ports.json").write_text(json.dumps(ports))

    urls = urls_of(tmp_path)

    assert urls[:2] == tuple(f"http://127.0.0.1:{port}" for port in ports.values())
    assert json.loads((tmp_path / "ports.json").read_text()).keys() == {*ports, "dashboard"}


def test_homes_that_start_at_the_same_time_never_share_a_port(tmp_path: Path) -> None:
    # They did: both saw the default ports free, long before either's servers took them.
    homes = [tmp_path / str(number) for number in range(8)]
    for home in homes:
        home.mkdir()

    with ExitStack() as stack, ThreadPoolExecutor(len(homes)) as pool:
        chosen = [stack.enter_context(closing(a)) for a in pool.map(Addresses.of, homes)]
        urls = {
            url
            for addresses in chosen
            for url in (addresses.api, addresses.mlflow, addresses.dashboard)
        }

    assert len(urls) == 3 * len(homes)


def test_only_the_server_of_an_address_inherits_its_socket(
    postgres: Postgres, addresses: Addresses
) -> None:
    inherited = {
        program.name: list(program.descriptors)
        for stage in stages(postgres, addresses, ["cpu"])
        for program in stage
    }

    assert inherited == {
        "mlflow": [addresses.mlflow_socket.fileno()],
        "api": [addresses.api_socket.fileno()],
        "clerk": [],
        "dashboard": [addresses.dashboard_socket.fileno()],
        "agent-0": [],
    }


def test_every_program_has_the_passwords_of_its_own_roles_and_no_command_has_any(
    postgres: Postgres, addresses: Addresses
) -> None:
    superuser = json.loads((postgres.home / "database.json").read_text())["password"]
    programs = [p for stage in stages(postgres, addresses, ["cpu"]) for p in stage]

    def known_to(text: object) -> set[Role]:
        return {role for role, password in postgres.passwords.items() if password in str(text)}

    assert {program.name: known_to(program.environment) for program in programs} == {
        "mlflow": {Role.MLFLOW},
        "api": {Role.APP},
        "clerk": {Role.APP, Role.OPTUNA},
        "dashboard": {Role.VIEWER},
        "agent-0": {Role.AGENT},
    }
    assert known_to([program.command for program in programs]) == set()
    assert superuser not in str(programs)


def test_the_secret_of_webhooks_is_for_the_clerk_alone(
    tmp_path: Path, postgres: Postgres, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Callable[[Postgres, Addresses], Stages]] = []
    monkeypatch.setattr(
        supervisor, "run", lambda _, programs_for, *__, **___: made.append(programs_for)
    )
    given = {"POLAR_WEBHOOKS": "https://a.example", "POLAR_WEBHOOK_SECRET": "s" * 64}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    supervisor.up(tmp_path, 1, "cpu", print)
    programs = [p for stage in made[0](postgres, addresses) for p in stage]

    holders = {p.name for p in programs if given.items() <= p.environment.items()}
    assert holders == {"clerk"}
    assert given.keys().isdisjoint(os.environ)  # which all programs inherit


def test_the_owners_token_is_in_no_command_and_only_where_it_opens_a_door(
    postgres: Postgres, addresses: Addresses
) -> None:
    programs = [p for stage in stages(postgres, addresses, ["cpu"]) for p in stage]
    token = owners_token(postgres.home)

    holders = {program.name for program in programs if token in program.environment.values()}
    assert holders == {"mlflow", "api", "clerk", "dashboard"}
    assert token not in str([program.command for program in programs])
    servers = [p for p in programs if p.name in ("mlflow", "dashboard")]
    assert {p.environment["POLAR_API_URL"] for p in servers} == {addresses.api}


def test_agents_stop_before_the_api_and_the_api_before_mlflow(
    postgres: Postgres, addresses: Addresses
) -> None:
    names = [
        [program.name for program in stage]
        for stage in stages(postgres, addresses, ["cpu", "cuda:0"])
    ]

    assert names == [
        ["mlflow"],
        ["api"],
        ["clerk", "dashboard", "agent-0", "agent-1"],
    ]


def test_servers_that_nobody_may_need_wait_for_clients(
    postgres: Postgres, addresses: Addresses
) -> None:
    programs = [p for stage in stages(postgres, addresses, ["cpu"]) for p in stage]

    waiting = {program.name for program in programs if program.waits_for_clients}
    assert waiting == {"mlflow", "dashboard"}


def test_an_agent_is_told_its_name_its_device_and_its_one_thread(
    postgres: Postgres, addresses: Addresses
) -> None:
    agent = stages(postgres, addresses, ["cuda:1"])[-1][-1]

    assert list(agent.command[3:]) == ["workers", "--device", "cuda:1", "--name", "agent-0"]
    assert agent.environment["OMP_NUM_THREADS"] == agent.environment["MKL_NUM_THREADS"] == "1"
    assert agent.environment["POLAR_DATABASE_URL"] == postgres.url("app", Role.AGENT)
    assert agent.environment["POLAR_MLFLOW_URL"] == addresses.mlflow
    assert agent.environment["POLAR_ARTIFACTS"] == str(postgres.home / "artifacts")


def test_trainings_on_the_cpu_leave_it_to_whoever_reads(
    postgres: Postgres, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    def niceness(device: str) -> str | None:
        agent = stages(postgres, addresses, [device])[-1][-1]
        return agent.environment.get("POLAR_TRAINING_NICENESS")

    assert [niceness(device) for device in ("cpu", "cuda:0")] == ["10", None]
    monkeypatch.setenv("POLAR_TRAINING_NICENESS", "3")
    assert niceness("cpu") == "3"


def test_the_processes_of_the_api_share_its_socket_and_count_together(
    postgres: Postgres, addresses: Addresses
) -> None:
    counted = postgres.home / "metrics"
    counted.mkdir(exist_ok=True)
    (counted / "of_the_last_start.db").touch()

    _, apis, _ = stages(postgres, addresses, ["cpu"], workers=3)

    assert [api.name for api in apis] == ["api", "api-2", "api-3"]
    assert {tuple(api.descriptors) for api in apis} == {(addresses.api_socket.fileno(),)}
    assert {api.environment["PROMETHEUS_MULTIPROC_DIR"] for api in apis} == {str(counted)}
    assert list(counted.iterdir()) == []
    _, (alone,), _ = stages(postgres, addresses, ["cpu"])
    assert "PROMETHEUS_MULTIPROC_DIR" not in alone.environment
