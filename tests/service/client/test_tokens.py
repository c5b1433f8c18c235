"""Which token the client sends to which service."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.client import Client, Unreachable
from service.embedded.running import RunningStack, publish
from service.embedded.state import lock, owners_token
from tests.service.client.scripts import answering

if TYPE_CHECKING:
    from tests.service.client.scripts import Script

HEALTH = '{"status": "ok", "home_id": "the home"}'
NOTHING = '{"experiments": [], "next_page_token": null}'


def sent_by(client: Client, script: "Script") -> str | None:
    script.by_path["/api/v1/healthz"] = answering(200, HEALTH)
    script.by_path["/api/v1/experiments"] = answering(200, NOTHING)
    with client:
        assert list(client.experiments()) == []
    assert not any(
        "authorization" in sent for _, path, sent in script.requests if "health" in path
    )
    return script.requests[-1][2].get("authorization")


@pytest.fixture
def own_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The token of the home that the environment names."""
    monkeypatch.setenv("POLAR_HOME", str(tmp_path))
    return owners_token(tmp_path)


def test_the_stack_of_a_home_gets_the_token_of_that_home(
    own_token: str, script: "Script", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLAR_TOKEN", "meant for another service, with many letters")
    with lock(tmp_path):
        publish(tmp_path, RunningStack(script.url, "", "", os.getpid(), {}, "the home"))

        assert sent_by(Client(), script) == f"Bearer {own_token}"
        assert Client().sends_other_token
        assert not Client(token="given").sends_other_token
        assert not Client(script.url).sends_other_token  # which is sent what the variable says
        monkeypatch.setenv("POLAR_TOKEN", own_token)
        assert not Client().sends_other_token
        assert sent_by(Client(home=tmp_path), script) == f"Bearer {own_token}"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_stack_of_the_home_is_known_by_its_address_too(
    name: str, own_token: str, script: "Script", tmp_path: Path
) -> None:
    # Somebody else may listen at the other address that `localhost` has.
    with lock(tmp_path):
        publish(tmp_path, RunningStack(script.url, "", "", os.getpid(), {}, "the home"))
        client = Client(script.url.replace("127.0.0.1", name) + "/")

        assert client.url == script.url
        assert sent_by(client, script) == f"Bearer {own_token}"


def test_who_listens_where_the_stack_has_stopped_gets_no_token(
    own_token: str, script: "Script", tmp_path: Path
) -> None:
    assert own_token
    stack = RunningStack(script.url, "", "", os.getpid(), {}, "the home")
    script.by_path["/api/v1/healthz"] = answering(200, HEALTH)
    script.by_path["/api/v1/experiments"] = answering(200, NOTHING)
    with lock(tmp_path):
        publish(tmp_path, stack)
        client = Client(pauses_s=(0.01,))
        assert list(client.experiments()) == []
    before = len(script.requests)

    with client:
        with pytest.raises(Unreachable, match=r"2 tries, the last: .* does not run there"):
            list(client.experiments())
        with pytest.raises(Unreachable, match="does not run there"):
            list(client._connection.events("/runs/x/events"))
        assert len(script.requests) == before
        with lock(tmp_path):  # it runs again
            assert list(client.experiments()) == []


def test_another_service_never_gets_the_token_of_the_home(
    own_token: str, script: "Script", monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own_token
    without = sent_by(Client(script.url), script)
    monkeypatch.setenv("POLAR_TOKEN", " a token with a blank and a line \n")
    of_environment = sent_by(Client(script.url), script)
    given = sent_by(Client(script.url, token="given"), script)

    assert without is None
    assert of_environment == "Bearer a token with a blank and a line"
    assert given == "Bearer given"
