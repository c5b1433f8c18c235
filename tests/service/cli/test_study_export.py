"""`polar study export`: the trials of a study as a file, or the study as a database."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pandas as pd
import pytest

from tests.service.cli.specs import STUDY, as_json

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar, Write
    from tests.service.conftest import Trials, Worker


@pytest.fixture
async def study_id(polar: "Polar", write: "Write", worker: "Worker") -> UUID:
    await worker.announce()
    return UUID(as_json(await polar("study", "create", write(STUDY), "-o", "json"))["id"])


async def test_trials_are_exported_to_stdout_or_a_file(
    polar: "Polar", study_id: UUID, trials: "Trials", tmp_path: Path
) -> None:
    await trials.end(await trials.begin(study_id, beta=0.5), 0.75)
    file = tmp_path / "trials.parquet"

    to_stdout = await polar("study", "export", study_id, "--format", "csv")
    to_file = await polar("study", "export", study_id, "--format", "parquet", "--out", file)
    nowhere = await polar("study", "export", study_id, "--out", tmp_path / "no" / "where.csv")

    (row,) = csv.DictReader(io.StringIO(to_stdout.stdout))
    assert (row["model.beta"], row["objective.clean_polarisation"]) == ("0.5", "0.75")
    assert (to_file.exit_code, to_file.stdout) == (0, "")
    assert list(pd.read_parquet(file)["objective.clean_polarisation"]) == [0.75]
    assert nowhere.exit_code == 2
    assert "where.csv" in nowhere.stderr


@pytest.mark.parametrize("format", ["csv", "parquet", "sqlite"])
async def test_an_export_replaces_a_file_as_a_whole(
    format: str, polar: "Polar", study_id: UUID, tmp_path: Path
) -> None:
    # Tables were written in place, so that a reader could see half a table.
    file, same_file = tmp_path / "study", tmp_path / "other name"
    file.write_text("something else")
    same_file.hardlink_to(file)

    done = await polar("study", "export", study_id, "--format", format, "--out", file)

    assert done.exit_code == 0, done.stderr
    assert same_file.read_text() == "something else"
    assert file.read_bytes() != same_file.read_bytes()


@pytest.mark.parametrize("format", ["csv", "parquet", "sqlite"])
async def test_an_export_never_replaces_a_special_file(
    format: str, polar: "Polar", study_id: UUID, special_file: Path
) -> None:
    # For root, a database took the place of /dev/null itself.
    done = await polar("study", "export", study_id, "--format", format, "--out", special_file)

    assert done.exit_code == 2
    assert f"{special_file} is not a regular file" in done.stderr
