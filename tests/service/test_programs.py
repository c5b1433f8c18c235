"""Programs are started by one table of names, and each of them is there."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

import service
import workers
from service.programs import Program

ROOMS = [Path(room) for package in (service, workers) for room in package.__path__]


def has_main(module: ast.Module) -> bool:
    return any(ast.unparse(statement).startswith("if __name__ ==") for statement in module.body)


def calls_in(room: Path) -> Iterator[ast.Call]:
    for path in room.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield node


@pytest.mark.parametrize("program", Program)
def test_each_program_can_be_run(program: Program) -> None:
    found = importlib.util.find_spec(program)
    assert found is not None
    if found.submodule_search_locations is not None:
        found = importlib.util.find_spec(f"{program}.__main__")

    assert found is not None
    assert found.origin is not None
    is_package = found.name.endswith("__main__")
    assert is_package or has_main(ast.parse(Path(found.origin).read_text()))


def test_nothing_of_ours_is_started_but_by_the_table() -> None:
    calls = [call for room in ROOMS for call in calls_in(room)]
    started = [call for call in calls if ast.unparse(call.func).split(".")[-1] == "python"]
    by_hand = [
        ast.unparse(call)
        for call in calls
        for argument in ast.walk(call)
        if isinstance(argument, ast.Constant) and argument.value == "-m"
    ]

    programs = {ast.unparse(call.args[0]) for call in started}
    assert programs == {f"Program.{program.name}" for program in Program}
    assert by_hand == []
