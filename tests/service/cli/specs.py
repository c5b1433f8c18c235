"""The specs that the tests of commands submit, and how they read an answer."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typer.testing import Result

    from tests.service.cli.conftest import Ended

SPEC = "name: mine\ndataset: {name: digits}\nmodel: {beta: 1e-1}\nseeds: [0, 1]\n"
STUDY = """
name: mine
base: {dataset: {name: digits}, model: {}, seeds: [0, 1]}
search: {model.beta: {log_uniform: [1e-2, 100]}}
budget: {trials: 2}
"""


def as_json(result: "Result | Ended") -> Any:  # noqa: ANN401
    """All of stdout, which must be JSON."""
    return json.loads(result.stdout)
