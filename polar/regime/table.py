"""The diagnostics of a run as one tidy table."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from polar.errors import InvalidInput
from polar.files import written_aside
from polar.records.events import Evaluation


def diagnostics_table(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """One row for every evaluation and latent, in the order of the evaluations.

    Columns: `epoch`, `step`, then the fields of `LatentDiagnostics`, `latent` first. Labels are
    text. A measure that was not taken is missing in every row of its column of numbers.

    Raises:
        InvalidInput: there are no evaluations.
    """
    if not evaluations:
        raise InvalidInput("a table of 0 evaluations; allowed: at least 1")
    table = pd.DataFrame(
        {"epoch": evaluation.epoch, "step": evaluation.step, **latent.model_dump(mode="json")}
        for evaluation in evaluations
        for latent in evaluation.latents
    )
    numbers = table.columns.difference(["step", "latent", "label"])
    # Else a column without any value would have another type than the same column of other models.
    return table.astype(dict.fromkeys(numbers, "float64"))


def table_to_parquet(table: pd.DataFrame, path: Path) -> None:
    """Writes the table as Parquet; the file is on disk then, or not there."""
    with written_aside(path, is_durable=True) as aside:
        table.to_parquet(aside, engine="pyarrow", index=False)
