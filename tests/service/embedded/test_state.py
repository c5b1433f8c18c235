import json
import os
import socket
import stat
from pathlib import Path

import pytest

from service.embedded.errors import EmbeddedError, HomeInUse
from service.embedded.state import (
    choose_port,
    listen,
    lock,
    owners_token,
    port_of,
    read_json,
    write_json,
)
from service.homes import holder, token_of
from service.tokens import is_token


def test_the_holder_of_a_locked_home_is_its_process(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with lock(tmp_path):
        assert holder(tmp_path) == os.getpid()
    assert holder(tmp_path) is None


def test_a_locked_home_cannot_be_locked_again(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(HomeInUse, match=f"pid {os.getpid()}"):
        lock(tmp_path)


def test_a_secret_file_is_secret_from_its_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "secret.json"

    write_json(path, {"password": "x"})

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_json(path) == {"password": "x"}
    assert [found.name for found in tmp_path.iterdir()] == ["secret.json"]


def test_the_owners_token_stays_and_only_the_owner_can_read_it(tmp_path: Path) -> None:
    made = owners_token(tmp_path)

    assert owners_token(tmp_path) == token_of(tmp_path) == made
    assert is_token(made)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_a_damaged_token_is_told_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")

    with pytest.raises(EmbeddedError, match="holds no token; allowed: 32 to 512 characters"):
        owners_token(tmp_path)


def test_a_missing_file_is_nothing(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "\xff", "[" * 200_000], ids=lambda content: repr(content)[:20]
)
def test_a_broken_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "ports.json").write_text(content, encoding="latin-1")

    with pytest.raises(EmbeddedError, match=r"ports\.json .*[Rr]estore it or remove it"):
        read_json(tmp_path / "ports.json")


def test_a_free_port_is_kept() -> None:
    port = choose_port()

    assert choose_port(port) == port


def test_a_taken_port_is_not_chosen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = port_of(taken)

        assert choose_port(port) != port
        with listen(port) as other:
            assert port_of(other) != port


def test_a_chosen_port_is_held_from_its_choice_on() -> None:
    with listen() as held, listen(port_of(held)) as other:
        assert port_of(other) != port_of(held)


def test_answers_are_sent_at_once() -> None:
    # uvicorn does not ask for it on a socket that it was handed; small answers took 44 ms
    with listen() as listening:
        client = socket.create_connection(listening.getsockname())
        connection, _ = listening.accept()

        with client, connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_json_files_are_readable_for_people(tmp_path: Path) -> None:
    write_json(tmp_path / "up.json", {"a": 1, "b": 2})

    assert len((tmp_path / "up.json").read_text().splitlines()) == 4
    assert json.loads((tmp_path / "up.json").read_text()) == {"a": 1, "b": 2}
