"""The trials of a study as a table, one row for each: CSV for people, Parquet for programs."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from polar.records.trials import Measured
from polar.spec import StudySpec
from polar.spec.points import STEPS
from service.api.csv_text import csv_of
from service.storage.study_tables import Trial

Kind = Literal["csv", "parquet"]
#: Columns of equal length, by name; None where a trial has no such value.
Table = Mapping[str, Sequence[Any]]

#: Integers up to this value are exact as doubles.
MOST_EXACT = 2**53

KINDS: Mapping[Kind, str] = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


def table_of(spec: StudySpec, trials: Sequence[Trial]) -> Table:
    """Points, steps, values and measures of the trials, by flat names.

    A measure that has a value for each seed becomes a column for each seed: `regimes.seed_0`.
    """
    measured = [_flat(spec, trial) for trial in trials]
    measures = dict.fromkeys(name for row in measured for name in row)
    return {
        "number": [trial.number for trial in trials],
        "state": [trial.state.value for trial in trials],
        **{name: [trial.point.get(name) for trial in trials] for name in spec.axes},
        STEPS: [trial.steps for trial in trials],
        **{
            f"objective.{objective.measure}": [
                trial.values[place] if trial.values else None for trial in trials
            ]
            for place, objective in enumerate(spec.objectives)
        },
        **{name: [row.get(name) for row in measured] for name in measures},
        "reason": [trial.status_reason for trial in trials],
        "message": [trial.status_message for trial in trials],
        "experiment_id": [str(trial.experiment_id) for trial in trials],
        "created_at": [trial.created_at for trial in trials],
        "finished_at": [trial.finished_at for trial in trials],
    }


def written(kind: Kind, table: Table) -> bytes:
    """Content of a file of this kind with the table."""
    return _WRITERS[kind](table)


def _flat(spec: StudySpec, trial: Trial) -> Mapping[str, Any]:
    if not isinstance(trial.measured, Measured):
        return {}
    flat: dict[str, object] = {}
    for name, value in trial.measured.model_dump(mode="json", exclude_none=True).items():
        if isinstance(value, list):
            seeds = zip(spec.seeds_of(trial.point), value, strict=False)
            flat |= {f"{name}.seed_{seed}": of_seed for seed, of_seed in seeds}
        else:
            flat[name] = value
    return flat


def _csv(table: Table) -> bytes:
    return csv_of(table, zip(*table.values(), strict=True))


def _parquet(table: Table) -> bytes:
    # Imported here because it loads numpy, which hardly any request needs.
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    columns = {name: [_as_stored(value) for value in column] for name, column in table.items()}
    parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _as_stored(value: object) -> object:
    """The value; integers too large for Parquet, which Postgres makes of 1e38, become floats."""
    return float(value) if isinstance(value, int) and abs(value) > MOST_EXACT else value


_WRITERS: Mapping[Kind, Callable[[Table], bytes]] = {"csv": _csv, "parquet": _parquet}
