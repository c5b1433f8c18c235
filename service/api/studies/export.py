"""The trials of a study as one table, a row for each: CSV for people, Parquet for programs."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from polar.records.trials import Measured
from polar.spec import StudySpec
from service.storage.study_tables import Trial

Kind = Literal["csv", "parquet"]
#: Columns of equal length, by name; None where a trial has no such value.
Table = Mapping[str, Sequence[Any]]

#: Whole numbers up to here are exact as doubles.
MOST_EXACT = 2**53

KINDS: Mapping[Kind, str] = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


def table_of(spec: StudySpec, trials: Sequence[Trial]) -> Table:
    """The points, values and measures of trials, by flat names.

    A measure of each seed becomes a column for each, as in `regimes.seed_0`.
    """
    measured = [_flat(spec, trial) for trial in trials]
    measures = dict.fromkeys(name for one in measured for name in one)
    return {
        "number": [trial.number for trial in trials],
        "state": [trial.state.value for trial in trials],
        **{name: [trial.point.get(name) for trial in trials] for name in spec.swept},
        **{
            f"objective.{objective.measure}": [
                trial.values[place] if trial.values else None for trial in trials
            ]
            for place, objective in enumerate(spec.objectives)
        },
        **{name: [one.get(name) for one in measured] for name in measures},
        "reason": [trial.status_reason for trial in trials],
        "message": [trial.status_message for trial in trials],
        "experiment_id": [str(trial.experiment_id) for trial in trials],
        "created_at": [trial.created_at for trial in trials],
        "finished_at": [trial.finished_at for trial in trials],
    }


def written(kind: Kind, table: Table) -> bytes:
    """The file of a table."""
    return _WRITERS[kind](table)


def _flat(spec: StudySpec, trial: Trial) -> Mapping[str, Any]:
    if not isinstance(trial.measured, Measured):
        return {}
    flat: dict[str, object] = {}
    for name, value in trial.measured.model_dump(mode="json", exclude_none=True).items():
        if isinstance(value, list):
            seeds = zip(spec.base.seeds, value, strict=False)
            flat |= {f"{name}.seed_{seed}": one for seed, one in seeds}
        else:
            flat[name] = value
    return flat


def _csv(table: Table) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table)
    writer.writerows(map(_cell, row) for row in zip(*table.values(), strict=True))
    return text.getvalue().encode()


def _cell(value: object) -> object:
    """What has parts is JSON, which spreadsheets and programs can take apart."""
    return json.dumps(value) if isinstance(value, dict | list) else value


def _parquet(table: Table) -> bytes:
    # Here, since it loads numpy, and hardly anybody asks for it.
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    columns = {name: [_as_stored(value) for value in column] for name, column in table.items()}
    parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _as_stored(value: object) -> object:
    """Postgres gives a double such as 1e38 back as an integer, too large for Parquet."""
    return float(value) if isinstance(value, int) and abs(value) > MOST_EXACT else value


_WRITERS: Mapping[Kind, Callable[[Table], bytes]] = {"csv": _csv, "parquet": _parquet}
