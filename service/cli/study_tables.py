"""Studies and their trials as tables for people."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from rich.console import Group, RenderableType

from service.api.studies.schemas import StudyPlan, StudySummary, StudyView, TrialView
from service.cli.range_tables import in_words, of_range
from service.cli.rows import Facts, Rows
from service.cli.tables import counts, earlier_version


def of_studies(studies: Sequence[StudySummary]) -> RenderableType:
    """Table of studies, one on each row."""
    table = Rows("study", "name", "state", "trials", "wanted", "submitted")
    for study in studies:
        table.add(
            str(study.id),
            study.name,
            study.state,
            counts(study.trials),
            str(study.trials_wanted),
            study.created_at,
        )
    return table


def of_study(study: StudyView, trials: Iterable[TrialView]) -> RenderableType:
    """A study with its range and its trials."""
    title = f"study {study.id} {study.name!r}: {study.state}"
    steps = study.steps_wanted
    counted = f"{study.completed} of {study.trials_wanted} completed"
    facts = {
        "reason": study.message,
        "trials": ", ".join(filter(None, (counted, counts(study.trials)))),
        "ends after": None if steps is None else f"{steps:,} training steps",
        "best": f"{_values(study.best)} at {_point(study.best)}" if study.best else None,
        "not in MLflow": study.mlflow_error,
        "unreadable": earlier_version(study.of_earlier_version),
    }
    measures = [objective["measure"] for objective in study.spec.get("objectives", ())]
    table = Rows(
        "trial", "state", "point", *measures, "regimes", "note", texts=("point", "regimes", "note")
    )
    for trial in trials:
        values = map(_shown, trial.values) if trial.values else [""] * len(measures)
        table.add(
            str(trial.number), trial.state, _point(trial), *values, _regimes(trial), trial.message
        )
    about_range = [of_range(study.range)] if study.range else []
    return Group(title, Facts(facts), *about_range, table)


def of_ranges(studies: Sequence[StudyView]) -> RenderableType:
    """Table of what each of several studies has found."""
    table = Rows("study", "name", "state", "completed", "range", texts=("name", "range"))
    for study in studies:
        words = in_words(study.range) if study.range else study.message
        table.add(str(study.id), study.name, study.state, str(study.completed), words)
    return table


def of_plan(plan: StudyPlan) -> RenderableType:
    """What a study would be if it were submitted."""
    estimate = (
        None if plan.estimated_s is None else str(timedelta(seconds=round(plan.estimated_s)))
    )
    facts = {
        "trials": str(plan.trials),
        "runs": str(plan.runs),
        "ends": plan.ends,
        "time": f"{estimate or 'unknown'} ({plan.estimate})",
    }
    return Group("the study is valid", Facts(facts))


def status(study: StudyView) -> str:
    """State of a study, its trials and its best trial, on one line."""
    best = f"best {_values(study.best)} at {_point(study.best)}" if study.best else ""
    return ", ".join(filter(None, (study.state, counts(study.trials), best)))


def _point(trial: TrialView) -> str:
    return " ".join(f"{name}={_shown(value)}" for name, value in trial.point.items())


def _values(trial: TrialView) -> str:
    return " ".join(_shown(value) for value in trial.values or ())


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _regimes(trial: TrialView) -> str:
    """The verdicts of the seeds, each different verdict once."""
    return ", ".join(dict.fromkeys(trial.measured.regimes if trial.measured else ()))
