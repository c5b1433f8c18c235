"""`polar study run` on a stack that runs already; its broker is pretended."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from service.embedded.running import RunningStack, publish
from service.embedded.state import lock
from service.ids import SHOWN
from service.storage import studies
from service.storage.database import Database
from service.storage.states import StudyState

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar, Process
    from tests.service.conftest import Trials, Worker

#: Far more than a command takes to submit, also on a busy machine.
PATIENCE_S = 180.0

SPEC = """
name: {name}
base: {{dataset: {{name: digits}}, model: {{}}}}
search: {{model.beta: {{log_uniform: [1e-2, 100]}}}}
budget: {{trials: {trials}}}
"""
BAND = {
    "left": {"low": 0.31, "high": 0.34, "confidence": 0.9},
    "right": {"low": 12.1, "high": 13.0, "confidence": 0.9},
}
FOUND: dict[str, Any] = {
    "outcome": "found",
    "intervals": [BAND],
    "envelope": BAND,
    "settled": True,
    "steps": 2000,
    "weights": 9,
    "trainings": 9,
    "headline": "Clean over 2 seeds, with 90 % intervals: left edge 0.31..0.34 at 2,000 steps, "
    "settled; right edge 12.1..13 at 2,000 steps, settled.",
}


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
def home(served: str, tmp_path: Path) -> Iterator[Path]:
    """The home of a running stack, whose service also says that MLflow is well."""
    home = tmp_path / "home"
    home.mkdir()
    with lock(home):
        mlflow = f"{served}/api/v1/healthz#"  # what follows is not asked for
        publish(home, RunningStack(served, mlflow, "", os.getpid(), {}, "the home"))
        yield home


def spec_file(folder: Path, name: str, trials: int = 2) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(SPEC.format(name=name, trials=trials))
    return path


async def begun(database: Database, count: int) -> dict[str, UUID]:
    """The ids of the studies by name, as soon as there are so many."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with database.transaction() as session:
                found = await studies.page(session, size=10, after=None)
            if len(found) == count:
                return {study.name: study.id for study in found}
            await asyncio.sleep(0.02)


async def test_several_studies_are_carried_out_together_and_end_with_their_ranges(
    polar_process: "Process", database: Database, trials: "Trials", home: Path, tmp_path: Path
) -> None:
    files = [spec_file(tmp_path, name) for name in ("beta", "alpha")]

    running = asyncio.create_task(polar_process("study", "run", *files, "--home", home))
    ids = await begun(database, 2)
    await trials.end_study(ids["alpha"])
    await trials.end_study(ids["beta"], **FOUND)
    result = await running

    lines = {line.split()[1]: line for line in result.stdout.splitlines() if line.strip()}
    assert result.exit_code == 0, result.stderr
    assert str(ids["beta"])[:SHOWN] in lines["beta"]
    assert FOUND["headline"] in lines["beta"]
    assert "it has what it wanted" in lines["alpha"]


async def test_one_study_ends_as_if_it_was_watched(
    polar_process: "Process", database: Database, trials: "Trials", home: Path, tmp_path: Path
) -> None:
    file = spec_file(tmp_path, "beta")

    running = asyncio.create_task(
        polar_process("study", "run", file, "--home", home, "-o", "json")
    )
    await trials.end_study((await begun(database, 1))["beta"], StudyState.FAILED, **FOUND)
    result = await running

    assert result.exit_code == 1
    found = json.loads(result.stdout)["range"]
    assert (found["headline"], found["settled"]) == (FOUND["headline"], True)
    assert found["envelope"]["left"]["low"] == 0.31


async def test_ctrl_c_leaves_the_studies_and_says_how_to_go_on(
    database: Database, home: Path, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.cli", "study", "run", spec_file(tmp_path, "beta"),
        "--home", home, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    study_id = (await begun(database, 1))["beta"]
    assert process.stderr is not None
    while b"polar study watch" not in await process.stderr.readline():
        pass

    process.send_signal(signal.SIGINT)
    stdout, stderr = await asyncio.wait_for(process.communicate(), 60)

    async with database.transaction() as session:
        study = await studies.get(session, study_id)
    assert process.returncode == 130
    assert stdout == b""
    assert f"polar study watch {study_id}" in stderr.decode()
    assert "`polar up`" in stderr.decode()
    assert study.state is StudyState.RUNNING


async def test_when_one_of_several_is_refused_none_begins(
    polar: "Polar", database: Database, home: Path, tmp_path: Path
) -> None:
    files = [spec_file(tmp_path, "good"), spec_file(tmp_path, "bad", trials=0)]

    result = await polar("study", "run", *files, "--home", home)

    async with database.transaction() as session:
        stored = await studies.page(session, size=10, after=None)
    assert result.exit_code == 2
    assert "/budget/trials: " in result.stderr
    assert stored == []


async def test_a_file_that_cannot_be_read_starts_nothing(polar: "Polar", tmp_path: Path) -> None:
    home = tmp_path / "home"

    result = await polar("study", "run", tmp_path / "none.yaml", "--home", home)

    assert result.exit_code == 2
    assert "none.yaml" in result.stderr
    assert "home" not in os.listdir(tmp_path)
