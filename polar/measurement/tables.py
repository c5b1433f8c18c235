"""The parts of a measurement as tidy tables."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from polar.records.measurement import ConfidenceInterval, Criterion, Measurement
from polar.records.record import Record
from polar.records.sensitivity import Sensitivity
from polar.regime.codes import Codes


def measurement_tables(measurement: Measurement) -> dict[str, pd.DataFrame]:
    """Every part that has rows, by name; what is undefined is missing in its column.

    - `latents`: `name`, the fields of `LatentDiagnostics`, `low_nats` and `high_nats` of the
      judged entropy, and `entropy_given_label_nats` where the images have classes; one row for
      each latent
    - `labels`: `criterion`, `latent`, `label`, `margin`, `score`, `why`
    - `thresholds`: `method`, `tau_nats`, `equivalent_std`, `reason`, `found`, `low_nats`,
      `high_nats`
    - `agreement`: `criterion_a`, `criterion_b`, `kappa`, `agreement`, `compared`
    - `mixed`, `redundancy`, `usage_scores`: the fields of their records
    - `sensitivity`: see `sensitivity_table`
    """
    parts = {
        "latents": _latents(measurement),
        "labels": _rows(measurement.labels),
        "thresholds": [
            {**row, **_ends(threshold.interval)}
            for row, threshold in zip(
                _rows(measurement.thresholds), measurement.thresholds, strict=True
            )
        ],
        "agreement": _rows(measurement.agreement),
        "mixed": _rows(measurement.mixed),
        "redundancy": _rows(measurement.redundancy),
        "usage_scores": _rows(measurement.usage),
    }
    tables = {name: pd.DataFrame(rows) for name, rows in parts.items() if rows}
    if measurement.sensitivity is not None:
        tables["sensitivity"] = sensitivity_table(measurement.sensitivity)
    return tables


def sensitivity_table(rows: Sequence[Sensitivity]) -> pd.DataFrame:
    """The fields of `Sensitivity`, a row for each variant; flaws are joined by commas."""
    return pd.DataFrame(
        {**row, "flaws": ", ".join(record.flaws)}
        for row, record in zip(_rows(rows), rows, strict=True)
    )


def representations_table(codes: Codes, measurement: Measurement) -> pd.DataFrame:
    """The codes themselves, one row for each latent and image, latent by latent.

    Columns: `latent`, `label`, `mean`, and `variance` unless the model is deterministic. The
    labels are those by the two signals, which can say mixed, or for a deterministic model those
    by entropy.
    """
    n, m = codes.mean.shape
    labels = {latent.latent: latent.label.value for latent in measurement.latents} | {
        row.latent: row.label.value
        for row in measurement.labels
        if row.criterion is Criterion.TWO_SIGNALS
    }
    columns = {
        "latent": np.repeat(np.arange(m), n),
        "label": np.repeat([labels[latent] for latent in range(m)], n),
        "mean": codes.mean.T.ravel(),
    }
    if codes.variance is not None:
        columns["variance"] = codes.variance.T.ravel()
    return pd.DataFrame(columns)


def _latents(measurement: Measurement) -> list[dict[str, object]]:
    rows = [
        {"name": name, **row, **_ends(interval)}
        for name, row, interval in zip(
            measurement.names,
            _rows(measurement.latents),
            measurement.entropy_intervals,
            strict=True,
        )
    ]
    for row, nats in zip(rows, measurement.entropy_given_label_nats or (), strict=False):
        row["entropy_given_label_nats"] = nats
    return rows


def _rows(records: Sequence[Record]) -> list[dict[str, object]]:
    return [record.model_dump(mode="json", exclude={"interval"}) for record in records]


def _ends(interval: ConfidenceInterval | None) -> dict[str, float | None]:
    return {
        "low_nats": interval.low_nats if interval else None,
        "high_nats": interval.high_nats if interval else None,
    }
