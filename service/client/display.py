"""Answers as HTML, for notebooks, and as rows of tables."""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from service.api.experiments.schemas import RunOfExperiment
from service.api.runs.schemas import RunView
from service.api.studies.schemas import StudyView

if TYPE_CHECKING:
    import pandas as pd

    from polar.records.latents import Verdict


#: The columns of the table of runs that are shown, where they have values.
SHOWN = ("seed", "state", "step", "regime", "n_active", "explained", "settled", "message")


def row_of_run(run: RunOfExperiment) -> dict[str, Any]:
    """The row of a run in the table of its experiment."""
    return {
        "seed": run.seed,
        "run": str(run.id),
        "state": str(run.state),
        "step": run.progress.step if run.progress else None,
        "settled": run.settled,
        **row_of_verdict(run.verdict),
        "message": run.message,
    }


def row_of_verdict(verdict: "Verdict | None") -> dict[str, Any]:
    """The columns of a verdict in a table; none without a verdict."""
    return verdict.model_dump(mode="json") if verdict else {}


def of_experiment(title: str, runs: "pd.DataFrame") -> str:
    """An experiment and its runs."""
    shown = [name for name in SHOWN if name in runs and runs[name].notna().any()]
    table = runs[shown].convert_dtypes()  # whole numbers stay whole where some runs have none
    texts = table.astype(object).map(_text).where(table.notna(), "")
    return _titled(title, texts.to_html(index=False))


def of_run(title: str, run: RunView) -> str:
    """A run and what was found."""
    verdict = run.verdict
    facts = {
        "seed": run.seed,
        "step": f"{run.progress.step:,} of {run.progress.steps:,}" if run.progress else None,
        "regime": verdict.regime if verdict else None,
        "active latents": verdict.n_active if verdict else None,
        "explanation": run.result.explanation if run.result else None,
        "message": run.message,
    }
    return _titled(title, _facts(facts), run.links.get("mlflow"))


def of_study(title: str, study: StudyView) -> str:
    """A study and its range."""
    of_wanted = "" if study.is_by_steps else f" of {study.trials_wanted}"
    spent = f"{study.steps_spent or 0:,} of {study.steps_wanted or 0:,} spent"
    facts = {
        "trials": f"{study.completed}{of_wanted} completed",
        "steps": None if study.steps_wanted is None else spent,
        "range": study.range.headline if study.range else None,
        "best": _best(study),
        "message": study.message,
    }
    return _titled(title, _facts(facts), study.links.get("mlflow"))


def _best(study: StudyView) -> str | None:
    """Its point and its regimes, because the best of all may still be no good."""
    best = study.best
    if best is None or study.seeks_range:
        return None
    point = ", ".join(f"{name} = {value}" for name, value in best.point.items())
    return f"{point} ({best.regimes})" if best.regimes else point


def _text(value: object) -> object:
    return f"{value:.3f}" if isinstance(value, float) else value


def _titled(title: str, body: str, mlflow: str | None = None) -> str:
    is_address = mlflow is not None and mlflow.startswith(("http://", "https://"))
    link = f' <a href="{escape(mlflow or "")}">MLflow</a>' if is_address else ""
    return f"<div><strong>{escape(title)}</strong>{link}{body}</div>"


def _facts(facts: Mapping[str, object]) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if value is not None
    )
    return f"<table>{rows}</table>"
