"""The table of commands, which lists them without importing them."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.cli.commands import HELP, PLACES, load

#: What takes longest to import; `polar --help` needs none of it, and clients need the first line.
CLIENTS = {"pydantic", "httpx", "yaml"}
OTHERS = {
    *("torch", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "mlflow", "optuna"),
    *("sqlalchemy", "psycopg", "procrastinate", "fastapi", "starlette"),
}


def loaded_by(*words: str) -> set[str]:
    program = (
        "import sys\nfrom service.cli import app\n"
        f"app({list(words)!r}, standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_the_list_of_commands_imports_none_of_them() -> None:
    modules = loaded_by("--help")

    assert not modules & (CLIENTS | OTHERS)
    assert not modules & {module for module, _ in PLACES.values()}


@pytest.mark.parametrize("words", [("list", "--help"), ("data", "path", "mnist")])
def test_a_command_imports_nothing_that_others_need(words: tuple[str, ...]) -> None:
    assert not loaded_by(*words) & (OTHERS | {"service.cli.study", "service.cli.up"})


async def test_a_request_to_the_service_loads_no_database_and_no_numbers(served: str) -> None:
    modules = loaded_by("list", "--url", served)

    assert "httpx" in modules
    assert not modules & OTHERS


@pytest.mark.parametrize("name", PLACES)
def test_the_help_of_a_command_begins_as_the_list_says(name: str) -> None:
    said = load(name).help

    assert said is not None
    assert " ".join(said.split("\n\n")[0].split()) == HELP[name]


def test_an_unknown_command_is_refused_with_the_name_that_was_meant() -> None:
    done = CliRunner().invoke(app, ["lisst"])

    assert done.exit_code == 2
    assert "Did you mean 'list'" in done.output
