import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from polar.errors import InvalidInput
from polar.records.events import Evaluation
from polar.records.latents import LatentDiagnostics
from polar.regime.columns import save_diagnostics
from polar.regime.table import diagnostics_table, table_to_parquet

Evaluations = Callable[..., Evaluation]


@pytest.fixture
def table(evaluation_of: Evaluations) -> pd.DataFrame:
    # numbers that lose their last bit in any text or float32
    awkward = [math.pi, 0.1 + 0.2, 5e-324]
    return diagnostics_table([evaluation_of(28, awkward), evaluation_of(57, awkward[::-1])])


def test_a_table_has_a_row_for_every_evaluation_and_latent(table: pd.DataFrame) -> None:
    assert list(table.columns) == ["epoch", "step", *LatentDiagnostics.model_fields]
    assert list(table["step"]) == [28, 28, 28, 57, 57, 57]
    assert list(table["epoch"]) == [1.0] * 3 + [57 / 28] * 3
    assert list(table["latent"]) == [0, 1, 2, 0, 1, 2]
    assert list(table["label"]) == ["active", "active", "passive", "passive", "active", "active"]


def test_what_was_not_measured_is_missing_in_a_column_of_numbers(
    evaluation_of: Evaluations, tmp_path: Path
) -> None:
    evaluation = evaluation_of(28, [1.0, 2.0])
    first, second = evaluation.latents
    unmeasured = {"kl_nats": None, "information_nats": None}
    latents = (
        first.model_copy(update=unmeasured | {"is_idle": True}),
        second.model_copy(update=unmeasured | {"is_idle": None}),
    )

    save_diagnostics([evaluation.model_copy(update={"latents": latents})], tmp_path / "it.parquet")

    columns = pq.read_table(tmp_path / "it.parquet")
    for name in unmeasured:
        assert columns.schema.field(name).type == "double"
        assert columns[name].to_pylist() == [None, None]
    assert columns["is_idle"].to_pylist() == [1.0, None]
    assert columns["entropy_nats"].to_pylist() == [1.0, 2.0]
    assert columns["label"].to_pylist() == ["active", "active"]


def test_the_diagnostics_come_back_from_parquet_to_the_last_bit(
    evaluation_of: Evaluations, tmp_path: Path
) -> None:
    # More than eight rows, and texts of different lengths: nothing may be off by a byte.
    entropies = [math.pi, 0.1 + 0.2, 5e-324, 1.0, 0.0]
    evaluations = [evaluation_of(step, entropies) for step in (28, 57)]
    path = tmp_path / "diagnostics.parquet"

    save_diagnostics(evaluations, path)

    table, back = diagnostics_table(evaluations), pd.read_parquet(path)
    pd.testing.assert_frame_equal(back, table, check_exact=True)
    assert set(back["label"]) == {"active", "passive"}
    assert [value.hex() for value in back["entropy_nats"]] == [
        value.hex() for value in table["entropy_nats"]
    ]


def test_a_table_that_cannot_be_written_leaves_the_old_file(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "diagnostics.parquet"
    table_to_parquet(table, path)
    unwritable = table.assign(epoch=pd.Series([object()] * len(table)))

    with pytest.raises(Exception, match="Could not convert"):
        table_to_parquet(unwritable, path)

    pd.testing.assert_frame_equal(pd.read_parquet(path), table, check_exact=True)


def test_a_table_of_no_evaluations_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 evaluations; allowed: at least 1"):
        diagnostics_table([])
