"""Figures that are drawn once more from the tables of a run, which may be missing or be others."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from polar.errors import InvalidInput
from polar.regime.table import diagnostics_table
from service.run_figures import redraw

if TYPE_CHECKING:
    from tests.conftest import Reports

TABLE, MEASUREMENT = "diagnostics.parquet", "measurement.json"


@pytest.fixture
def picture(tmp_path: Path, reports: "Reports") -> Path:
    """Where the picture of a run lies whose tables are there."""
    table = diagnostics_table([reports.evaluation(0), reports.evaluation(10)])
    table.to_parquet(tmp_path / TABLE)
    (tmp_path / MEASUREMENT).write_text(json.dumps({"verdict": {"tau_nats": 0.25}}))
    return tmp_path / "figures" / "entropy_over_training.png"


def test_the_figure_of_a_picture_is_drawn_though_the_picture_is_gone(picture: Path) -> None:
    assert not picture.exists()
    assert redraw(picture).axes


@pytest.mark.parametrize("name", [TABLE, MEASUREMENT])
def test_files_that_are_damaged_are_refused(picture: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PAR1 or so")

    with pytest.raises(InvalidInput, match="is of another version or damaged"):
        redraw(picture)


@pytest.mark.parametrize("content", ["[]", "{}", '{"verdict": null}', '{"verdict": {}}'])
def test_a_measurement_of_another_version_is_refused(
    picture: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / MEASUREMENT).write_text(content)

    with pytest.raises(InvalidInput, match="is of another version or damaged"):
        redraw(picture)


def test_a_folder_without_files_is_refused_and_not_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        redraw(tmp_path / "figures" / "traversals.png")

    assert str(refused.value) == "its files cannot be read: No such file or directory"


def test_tables_of_another_version_are_refused(picture: Path, tmp_path: Path) -> None:
    for name in ("latents", "thresholds"):
        pd.DataFrame({"latent": [0]}).to_parquet(tmp_path / f"{name}.parquet")

    with pytest.raises(InvalidInput, match=r"of another version, and this one misses .*low_nats"):
        redraw(picture.with_stem("thresholds"))


def test_a_figure_whose_table_is_missing_is_refused(picture: Path) -> None:
    with pytest.raises(InvalidInput, match="give no figure traversals; allowed: sorted_entr"):
        redraw(picture.with_stem("traversals"))
