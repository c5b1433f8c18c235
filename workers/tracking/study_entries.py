"""What MLflow stores about a study and its trials: names, parameters, tags and numbers.

The functions are pure and give the same for the same rows, as in `run_entries`. The numbers have
names of their own (`trial/...`, `range/...`), so that no number of a run counts twice.
"""

import math
from collections.abc import Iterator
from typing import get_args
from uuid import UUID

from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from polar.spec import StudySpec
from polar.spec.objectives import Measure
from polar.spec.points import SEED, Point
from service.storage import forms
from service.storage.study_tables import Study, Trial
from service.storage.study_tracking import Nesting
from service.storage.tables import Run
from service.storage.telling import Said, said_of_study
from workers.tracking.description_entries import NOTE, entries, name_entries
from workers.tracking.run_entries import (
    MLflowMetric,
    as_tags,
    dotted,
    metric_of,
    run_name,
    standing,
)

#: Tag that makes MLflow's pages show a run below its parent.
PARENT = "mlflow.parentRunId"
_FROM = {"mlflow.source.name": "polar"}


def marks_of_study(study: Study) -> dict[str, str]:
    """Tags that identify the MLflow run of a study."""
    return {"polar.kind": "study", "polar.study_id": str(study.id)}


def marks_of_all(study_id: UUID) -> list[dict[str, str]]:
    """Tags that identify the MLflow runs of a study and of all its trials."""
    return [{"polar.kind": kind, "polar.study_id": str(study_id)} for kind in ("study", "trial")]


def marks_of_trial(trial: Trial) -> dict[str, str]:
    """Tags that identify the MLflow run of a trial."""
    return {
        "polar.kind": "trial",
        "polar.study_id": str(trial.study_id),
        "polar.trial": str(trial.number),
    }


def nesting_tags(nesting: Nesting) -> dict[str, str]:
    """Tags that put a run below its parent, and with which a search finds the whole study."""
    return {
        PARENT: nesting.mlflow_parent_id,
        "polar.study_id": str(nesting.study_id),
        "polar.trial": str(nesting.number),
    }


def study_name(study: Study, spec: StudySpec) -> str:
    """Name that MLflow shows for a study."""
    return study.name or f"study of {', '.join(spec.swept)}"


def trial_name(trial: Trial) -> str:
    """Name that MLflow shows for a trial, such as `trial 7 beta=1.23`."""
    return _name_at(trial.number, trial.point)


def seed_name(run: Run, said: Said, trial: Trial, study: Study, spec: StudySpec) -> str:
    """Name that MLflow shows for a run of a study, such as `trial 7 beta=1.23 seed 0 (my study)`.

    A run that has a name, or that an experiment with a name has asked for, keeps that name.
    """
    if said.name or said.experiment:
        return run_name(forms.experiment_spec(run.spec), run.seed, said)
    point = {name: value for name, value in trial.point.items() if name != SEED}
    return f"{_name_at(trial.number, point)} seed {run.seed} ({study_name(study, spec)})"


def study_parameters(spec: StudySpec) -> dict[str, str]:
    """The whole spec with dotted names, without the fields that an axis leaves empty."""
    axes = {name: axis.model_dump(exclude_none=True) for name, axis in spec.search.items()}
    return dotted({**spec.model_dump(mode="json"), "search": axes})


def study_tags(study: Study, spec: StudySpec) -> dict[str, str]:
    """The state of a study, and what it has found."""
    study_range = _readable_range(study)
    texts = {
        **_FROM,
        **entries(_about(study), said_of_study(study)),
        **name_entries(study_name(study, spec), study.name),
        "polar.state": study.state,
        "polar.status_reason": study.status_reason or "none",
        "polar.model": spec.base.model.label,
        "polar.dataset": spec.base.dataset.label,
        "polar.dataset_sha256": study.dataset_digest,
        "polar.range": _span(study_range) or "none",
        "polar.range_of": study_range.of if study_range else "none",
        "polar.range_outcome": study_range.outcome if study_range else "none",
    }
    return as_tags(texts)


def trial_tags(trial: Trial) -> dict[str, str]:
    """The state of a trial, and the verdicts of its seeds, each different verdict once."""
    texts = {
        **_FROM,
        NOTE: standing(trial),
        "polar.state": trial.state,
        "polar.status_reason": trial.status_reason or "none",
    }
    if isinstance(trial.measured, Measured):
        texts["polar.regime"] = ", ".join(dict.fromkeys(trial.measured.regimes))
    return as_tags(texts)


def trial_metrics(trial: Trial, spec: StudySpec) -> list[MLflowMetric]:
    """A trial's point, its values and its means over the seeds, at the step of its number.

    The list is empty until the trial has ended; a trial that failed has only its point.
    """
    if trial.finished_at is None:
        return []
    measures = [objective.measure for objective in spec.objectives]
    numbers = {
        **dict(_coordinates(trial, spec)),
        **dict(_means(trial)),
        **{
            f"objective_{name}": value
            for name, value in zip(measures, trial.values or (), strict=False)
        },
    }
    return [
        metric_of(f"trial/{name}", value, trial.number, trial.finished_at)
        for name, value in numbers.items()
    ]


def range_metrics(study: Study) -> list[MLflowMetric]:
    """Ends of the weights that are in the band at least; empty until the study has ended."""
    ends = _core(_readable_range(study))
    if study.finished_at is None or ends is None:
        return []
    return [
        metric_of(f"range/{name}", end, study.trials_wanted, study.finished_at)
        for name, end in zip(("low", "high"), ends, strict=True)
    ]


def range_text(study: Study) -> str:
    """The whole range of a study as JSON."""
    study_range = _readable_range(study)
    return study_range.model_dump_json(indent=2) if study_range else "null"


def _readable_range(study: Study) -> StudyRange | None:
    """The range of a study; None if there is none yet or this version cannot read it."""
    return study.range if isinstance(study.range, StudyRange) else None


def _means(trial: Trial) -> Iterator[tuple[str, float]]:
    if isinstance(trial.measured, Measured):
        for name in get_args(Measure):
            mean = trial.measured.value(name)
            if mean is not None:
                yield name, mean


def _coordinates(trial: Trial, spec: StudySpec) -> Iterator[tuple[str, float]]:
    """The numbers of a trial's point, with logarithms because charts have no logarithmic axis."""
    for name, value in trial.point.items():
        if isinstance(value, str):
            continue
        yield name, float(value)
        if spec.axes[name].log_uniform is not None:
            yield f"{name}_log10", math.log10(value)


def _about(study: Study) -> str:
    study_range, answer, remarks = _readable_range(study), "", ""
    if study_range:
        answer = f"{', '.join(study_range.fields)}: {study_range.headline}"
        remarks = "\n".join(f"- {remark}" for remark in study_range.remarks)
    paragraphs = (standing(study), answer, remarks, f"Polar study `{study.id}`.")
    return "\n\n".join(filter(None, paragraphs))


def _span(study_range: StudyRange | None) -> str:
    """The core in words, such as `0.34 to 12.1`; empty if it is not known."""
    ends = _core(study_range)
    return f"{ends[0]:.4g} to {ends[1]:.4g}" if ends else ""


def _core(study_range: StudyRange | None) -> tuple[float, float] | None:
    """The weights between which latent spaces are in the band at least."""
    return study_range.envelope.core if study_range and study_range.envelope else None


def _name_at(number: int, point: Point) -> str:
    words = (f"{name.rpartition('.')[2]}={_shown(value)}" for name, value in point.items())
    return " ".join((f"trial {number}", *words))


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
