"""A spec names the code of its model on the machine that submits it, and agents are waited for."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from polar.spec.own_models import digest_of
from service.client import Client, Refused, requests
from service.client.requests import as_json
from tests.service.client.scripts import Script, answering, problem

OWN = {"name": "own", "class": "lab_nets:Mlp"}


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The digest of a package that is installed here, and that nobody has allowed."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lab_nets.py").write_text("")
    importlib.invalidate_caches()
    code = digest_of("lab_nets")
    assert code is not None
    return code


def test_the_code_of_this_machine_is_named_where_nobody_has_named_another(code: str) -> None:
    def code_of(spec: Any) -> Any:  # noqa: ANN401
        sent = json.loads(as_json(spec))
        return sent.get("base", sent)["model"]["code"]

    assert code_of({"model": OWN}) == code
    assert code_of({"model": {**OWN, "code": None}}) == code
    assert code_of({"base": {"model": OWN}, "search": {}}) == code
    assert code_of({"model": {**OWN, "code": "x"}}) == "x"
    assert code_of({"model": {"name": "own", "class": "not_here:Net"}}) is None
    assert code_of({"model": {"name": "own"}}) is None


@pytest.mark.parametrize("spec", [{}, {"model": {"name": "ae"}}, {"base": 5}, {"model": []}, [1]])
def test_other_content_is_sent_as_it_is(spec: Any) -> None:  # noqa: ANN401
    assert json.loads(as_json(spec)) == spec


def other_code(status: int = 422) -> str:
    fault = {"pointer": "/model/code", "message": "other", "type": "other_code", "value": "'x'"}
    errors = [{**fault, "allowed": None, "suggestion": None}]
    return json.dumps({**json.loads(problem(status)), "errors": errors})


def test_agents_that_have_yet_to_look_are_waited_for(script: Script) -> None:
    # The old code's finished run was the answer, because agents look every 15 s only.
    script.answers = [answering(422, other_code()), answering(409, problem(409))]

    with Client(script.url) as client, pytest.raises(Refused) as refused:
        client.submit({"model": OWN})

    assert refused.value.problem.status == 409
    assert len({headers["idempotency-key"] for _, _, headers in script.requests}) == 1


def test_agents_whose_code_stays_another_are_not_waited_for_for_ever(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "AGENTS_LOOK_S", 0.0)
    script.answers = [answering(422, other_code())]

    with Client(script.url) as client, pytest.raises(Refused) as refused:
        client.create_study({"base": {"model": OWN}})

    assert refused.value.problem.status == 422
