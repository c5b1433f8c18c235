import json
import socket
from pathlib import Path

from service.embedded.postgres import Postgres
from service.embedded.stack import Addresses, stages


def test_the_ports_are_those_of_the_last_start(tmp_path: Path) -> None:
    first = Addresses.of(tmp_path)

    assert Addresses.of(tmp_path) == first
    assert first.api == f"http://127.0.0.1:{first.api_port}"


def test_a_taken_port_is_replaced_and_the_new_one_kept(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "ports.json").write_text(json.dumps({"api": port, "mlflow": 25_650}))

        addresses = Addresses.of(tmp_path)

    assert addresses.api_port != port
    assert Addresses.of(tmp_path) == addresses


def test_the_password_is_in_no_command(postgres: Postgres) -> None:
    password = json.loads((postgres.home / "database.json").read_text())["password"]

    programs = [p for stage in stages(postgres, Addresses(1, 2), ["cpu"]) for p in stage]

    assert password not in str([program.command for program in programs])
    assert all(password in str(program.environment) for program in programs)


def test_agents_stop_before_the_api_and_the_api_before_mlflow(postgres: Postgres) -> None:
    names = [
        [program.name for program in stage]
        for stage in stages(postgres, Addresses(1, 2), ["cpu", "cuda:0"])
    ]

    assert names == [["mlflow"], ["api"], ["tracking", "agent-0", "agent-1"]]


def test_an_agent_is_told_its_name_its_device_and_its_one_thread(postgres: Postgres) -> None:
    agent = stages(postgres, Addresses(8650, 5650), ["cuda:1"])[-1][-1]

    assert list(agent.command[3:]) == ["workers", "--device", "cuda:1", "--name", "agent-0"]
    assert agent.environment["OMP_NUM_THREADS"] == "1"
    assert agent.environment["POLAR_DATABASE_URL"] == postgres.url("app")
    assert agent.environment["POLAR_MLFLOW_URL"] == "http://127.0.0.1:5650"
    assert agent.environment["POLAR_ARTIFACTS"] == str(postgres.home / "artifacts")
