"""Which demos there are; tests/e2e runs one."""

import pytest
from typer.testing import CliRunner

from service.cli import app


@pytest.mark.parametrize("dataset", ["cifar", "ivae", "__init__"])
def test_a_demo_that_does_not_exist_is_refused_with_those_that_do(dataset: str) -> None:
    done = CliRunner().invoke(app, ["demo", "--dataset", dataset], catch_exceptions=False)

    assert done.exit_code == 2
    assert done.stderr == (
        f"error: there is no demo on {dataset!r}; "
        "allowed: digits, dsprites, mnist, smallnorb, sprites\n"
    )
