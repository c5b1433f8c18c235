"""The diagnostics of a run column by column, for a training, which does not load pandas."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from polar.errors import InvalidInput
from polar.files import written_aside
from polar.records.events import Evaluation
from polar.records.latents import LatentDiagnostics

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE_NUMBERS, TEXTS = {"step", "latent"}, {"label"}

Column = Float64[np.ndarray, " rows"] | Int64[np.ndarray, " rows"] | list[str]


def diagnostics_columns(evaluations: Sequence[Evaluation]) -> dict[str, Column]:
    """The columns of `diagnostics_table`, with NaN for what was not measured.

    Raises:
        InvalidInput: there are no evaluations.
    """
    if not evaluations:
        raise InvalidInput("a table of 0 evaluations; allowed: at least 1")
    rows = [
        {"epoch": evaluation.epoch, "step": evaluation.step, **latent.model_dump(mode="json")}
        for evaluation in evaluations
        for latent in evaluation.latents
    ]
    names = ("epoch", "step", *LatentDiagnostics.model_fields)
    return {name: _column(name, [row[name] for row in rows]) for name in names}


def save_diagnostics(evaluations: Sequence[Evaluation], path: Path) -> None:
    """Writes `diagnostics_table` as Parquet; the file is on disk then, or not there.

    Raises:
        InvalidInput: there are no evaluations.
    """
    # Imported here, because it takes 50 MiB, which a training need not hold before its end.
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: _arrow(column) for name, column in diagnostics_columns(evaluations).items()}
    with written_aside(path, is_durable=True) as aside:
        parquet.write_table(pa.table(columns), aside)


def _column(name: str, values: list[str | int | float | None]) -> Column:
    if name in TEXTS:
        return [str(value) for value in values]
    # Otherwise a column without any value would have another type than that of other models.
    return np.array(values, dtype=np.int64 if name in WHOLE_NUMBERS else np.float64)


def _arrow(column: Column) -> "pa.Array":
    """The same column for pyarrow; from buffers, because `pyarrow.array` would load pandas."""
    import pyarrow as pa

    if isinstance(column, list):
        texts = [text.encode() for text in column]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        letters = pa.py_buffer(b"".join(texts))
        return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), letters)
    is_measured = np.packbits(~np.isnan(column), bitorder="little")
    buffers = [pa.py_buffer(is_measured), pa.py_buffer(column)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(column.dtype), len(column), buffers)
