"""Studies and their trials as tables for people."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from rich.console import Group, RenderableType

from service.api.studies.schemas import StudyPlan, StudySummary, StudyView, TrialView
from service.cli import describe
from service.cli.range_tables import in_words, of_range
from service.cli.rows import Facts, Rows
from service.cli.tables import counts, earlier_version, shown_id


def of_studies(studies: Sequence[StudySummary], *, full_ids: bool = False) -> RenderableType:
    """Table of studies, one on each row."""
    table = Rows(
        "study", "name", "state", "trials", "wanted", "tags", "submitted", texts=("name", "tags")
    )
    for study in studies:
        table.add(
            shown_id(study.id, full_ids),
            study.name,
            study.state,
            counts(study.trials),
            _wanted(study),
            describe.in_words(study.tags),
            study.created_at,
        )
    return table


def of_study(study: StudyView, trials: Iterable[TrialView]) -> RenderableType:
    """A study with its range and its trials."""
    title = f"study {study.id} {study.name!r}: {study.state}"
    completed = f"{study.completed} of {study.trials_wanted} completed"
    facts = {
        "tags": describe.in_words(study.tags),
        "note": study.note,
        "reason": study.message,
        "trials": counts(study.trials)
        if study.is_by_steps
        else ", ".join(filter(None, (completed, _others(study)))),
        "steps": _steps(study),
        "best": _best(study),
        "not in MLflow": study.mlflow_error,
        "unreadable": earlier_version(study.of_earlier_version),
    }
    measures = [objective["measure"] for objective in study.spec.get("objectives", ())]
    about_range = [of_range(study.range)] if study.range else []
    return Group(title, Facts(facts), *about_range, of_trials(trials, measures))


def of_trials(trials: Iterable[TrialView], measures: Sequence[str]) -> RenderableType:
    """Table of trials, whose values are of these measures."""
    table = Rows(
        *("trial", "state", "point", *measures, "regimes", "note"),
        texts=("point", "regimes", "note"),
    )
    for trial in trials:
        values = map(_shown, trial.values) if trial.values else [""] * len(measures)
        table.add(
            str(trial.number),
            trial.state,
            point_of(trial),
            *values,
            trial.regimes,
            trial.message,
        )
    return table


def of_ranges(studies: Sequence[StudyView]) -> RenderableType:
    """Table of what each of several studies has found."""
    table = Rows("study", "name", "state", "completed", "range", texts=("name", "range"))
    for study in studies:
        words = in_words(study.range) if study.range else study.message
        table.add(shown_id(study.id), study.name, study.state, str(study.completed), words)
    return table


def of_plan(plan: StudyPlan) -> RenderableType:
    """What a study would be if it were submitted."""
    ends = (plan.estimated_least_s, plan.estimated_s)
    times = [str(timedelta(seconds=round(end))) for end in ends if end is not None]
    estimate = " to ".join(dict.fromkeys(times))
    facts = {
        "trials": str(plan.trials),
        "runs": str(plan.runs),
        "ends": plan.ends,
        "time": f"{estimate or 'unknown'} ({plan.estimate})",
    }
    return Group("the study is valid", Facts(facts))


def name_of_bar(study: StudyView) -> str:
    """What the bar of a study says before it; it counts trials unless it says otherwise."""
    if study.is_by_steps:
        return f"{study.name} (steps)" if study.name else "steps"
    return study.name or "trials"


def _steps(study: StudyView) -> str | None:
    if study.steps_wanted is None:
        return None
    spent = "?" if study.steps_spent is None else f"{study.steps_spent:,}"
    return f"{spent} of {study.steps_wanted:,} training steps spent"


def _wanted(study: StudySummary) -> str:
    if study.steps_wanted is None:
        return str(study.trials_wanted)
    return f"{study.trials_wanted} or {study.steps_wanted:,} steps"


def status(study: StudyView) -> str:
    """State of a study, its trials and its best trial, on one line.

    The bar before it counts the completed trials, unless it counts steps.
    """
    trials = counts(study.trials) if study.is_by_steps else _others(study)
    best = _best(study)
    parts = (study.state, trials and f"trials: {trials}", best and f"best {best}")
    return "; ".join(filter(None, parts))


def _others(study: StudyView) -> str:
    """The counts of trials that are not completed."""
    return counts({state: n for state, n in study.trials.items() if state != "completed"})


def point_of(trial: TrialView) -> str:
    return " ".join(f"{name}={_shown(value)}" for name, value in trial.point.items())


def _values(trial: TrialView) -> str:
    return " ".join(_shown(value) for value in trial.values or ())


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _best(study: StudyView) -> str | None:
    """The values of the best trial, its point and its regimes: the best may still be no good."""
    if study.best is None or study.seeks_range:
        return None
    regimes = f" ({study.best.regimes})" if study.best.regimes else ""
    return f"{_values(study.best)} at {point_of(study.best)}{regimes}"
