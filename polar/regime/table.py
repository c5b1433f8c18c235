"""The diagnostics of a run as one tidy table."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from polar.files import written_aside
from polar.records.events import Evaluation
from polar.regime.columns import diagnostics_columns


def diagnostics_table(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """One row for every evaluation and latent, in the order of the evaluations.

    Columns: `epoch`, `step`, then the fields of `LatentDiagnostics`, `latent` first. Labels are
    text. A measure that was not taken is missing in every row of its column of numbers.

    Raises:
        InvalidInput: there are no evaluations.
    """
    return pd.DataFrame(diagnostics_columns(evaluations))


def table_to_parquet(table: pd.DataFrame, path: Path) -> None:
    """Writes the table as Parquet; the file is on disk then, or not there."""
    with written_aside(path, is_durable=True) as aside:
        table.to_parquet(aside, engine="pyarrow", index=False)
