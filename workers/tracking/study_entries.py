"""What MLflow is told of a study and of its trials: names, parameters, tags and numbers.

Pure, and the same for the same rows, as in `mlflow_run`. The numbers have names of their own
(`trial/...`, `range/...`), so that nothing that a run has told counts twice.
"""

import math
from collections.abc import Iterator
from typing import get_args

from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from polar.spec import StudySpec
from polar.spec.objectives import Measure
from service.storage.study_tables import Study, Trial
from service.storage.study_tracking import Nesting
from workers.tracking.run_entries import MLflowMetric, as_tags, dotted, metric_of, standing

#: Makes MLflow's pages show a run below another one.
PARENT = "mlflow.parentRunId"
_FROM = {"mlflow.source.name": "polar"}


def marks_of_study(study: Study) -> dict[str, str]:
    """The tags by which its MLflow run is found again."""
    return {"polar.kind": "study", "polar.study_id": str(study.id)}


def marks_of_trial(trial: Trial) -> dict[str, str]:
    """The tags by which its MLflow run is found again."""
    of_study = {"polar.study_id": str(trial.study_id), "polar.trial": str(trial.number)}
    return {"polar.kind": "trial", **of_study}


def nesting_tags(nesting: Nesting) -> dict[str, str]:
    """Where a run lies; the whole study is found by one tag."""
    return {
        PARENT: nesting.mlflow_parent_id,
        "polar.study_id": str(nesting.study_id),
        "polar.trial": str(nesting.number),
    }


def study_name(study: Study, spec: StudySpec) -> str:
    """What stands above its runs."""
    return study.name or f"study of {', '.join(spec.swept)}"


def trial_name(trial: Trial) -> str:
    """Such as `trial 7 beta=1.23`."""
    point = (f"{name.rpartition('.')[2]}={_shown(value)}" for name, value in trial.point.items())
    return " ".join((f"trial {trial.number}", *point))


def study_parameters(spec: StudySpec) -> dict[str, str]:
    """The whole spec, with dotted names; of each axis what it has."""
    axes = {name: axis.model_dump(exclude_none=True) for name, axis in spec.search.items()}
    return dotted({**spec.model_dump(mode="json"), "search": axes})


def study_tags(study: Study, spec: StudySpec) -> dict[str, str]:
    """Where the study stands, and what it has found."""
    found = _found(study)
    told = {
        **_FROM,
        "mlflow.note.content": _note(study),
        "polar.state": study.state,
        "polar.status_reason": study.status_reason or "none",
        "polar.model": spec.base.model.name,
        "polar.dataset": spec.base.dataset.name,
        "polar.dataset_sha256": study.dataset_digest,
        "polar.range": _span(found) or "none",
        "polar.range_outcome": found.outcome if found else "none",
    }
    return as_tags(told)


def trial_tags(trial: Trial) -> dict[str, str]:
    """Where the trial stands, and the verdicts of its seeds, each once."""
    told = {
        **_FROM,
        "mlflow.note.content": standing(trial),
        "polar.state": trial.state,
        "polar.status_reason": trial.status_reason or "none",
    }
    if isinstance(trial.measured, Measured):
        told["polar.regime"] = ", ".join(dict.fromkeys(trial.measured.regimes))
    return as_tags(told)


def trial_metrics(trial: Trial, spec: StudySpec) -> list[MLflowMetric]:
    """Its point, its values and the means over its seeds, at the step of its number.

    None before it has ended; of one that failed, its point alone.
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
    """Between which weights spaces are polarised at least, as known at the end of a study."""
    ends = _core(_found(study))
    if study.finished_at is None or ends is None:
        return []
    return [
        metric_of(f"range/{name}", end, study.trials_wanted, study.finished_at)
        for name, end in zip(("low", "high"), ends, strict=True)
    ]


def range_text(study: Study) -> str:
    """What the study has found, whole, as JSON."""
    found = _found(study)
    return found.model_dump_json(indent=2) if found else "null"


def _found(study: Study) -> StudyRange | None:
    """The range of a study; none before there is one, and where this version cannot read it."""
    return study.range if isinstance(study.range, StudyRange) else None


def _means(trial: Trial) -> Iterator[tuple[str, float]]:
    if isinstance(trial.measured, Measured):
        for name in get_args(Measure):
            mean = trial.measured.value(name)
            if mean is not None:
                yield name, mean


def _coordinates(trial: Trial, spec: StudySpec) -> Iterator[tuple[str, float]]:
    """Its point as far as it is numbers, with logarithms for charts, which have none."""
    for name, value in trial.point.items():
        if isinstance(value, str):
            continue
        yield name, float(value)
        if spec.search[name].log_uniform is not None:
            yield f"{name}_log10", math.log10(value)


def _note(study: Study) -> str:
    found = _found(study)
    span, remarks = _span(found), (f"- {remark}" for remark in found.remarks) if found else ()
    band = f"Polarised for {found.fields[0]} from {span} at least." if found and span else ""
    parts = (standing(study), band, "\n".join(remarks), f"Polar study `{study.id}`.")
    return "\n\n".join(filter(None, parts))


def _span(found: StudyRange | None) -> str:
    """Such as `0.34 to 12.1`; empty where that is not known."""
    ends = _core(found)
    return f"{ends[0]:.4g} to {ends[1]:.4g}" if ends else ""


def _core(found: StudyRange | None) -> tuple[float, float] | None:
    """Between which weights spaces are polarised at least."""
    return found.envelope.core if found and found.envelope else None


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
