"""What the pages show of studies."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.edge_rows import BandRows, edge_rows, facts_of_models
from polar.records.events import Evaluation, Progress
from polar.records.latents import Verdict
from polar.records.ranges import SeedOutcome, StudyRange
from polar.records.trials import Measures
from polar.records.words import settled_in_words
from polar.spec import StudySpec
from polar.spec.axis import Value
from polar.spec.points import WARM_START
from service.api.pages.etas import etas
from service.api.pages.phase_chart import Dot, PhaseChart, Row, phase_chart
from service.api.pages.reliability import reliability, verdicts_of
from service.api.pages.rendering import duration, in_words
from service.api.stored import Reader
from service.api.studies import answers
from service.api.studies.schemas import StudyView
from service.settings import Settings
from service.storage import studies
from service.storage.errors import EarlierVersion
from service.storage.pages import TrialRun, newest_evaluations, runs_of_study
from service.storage.states import RunState, TrialState
from service.storage.study_tables import Study, Trial

#: Rows of the table of trials.
MOST_ROWS = 500


@dataclass(frozen=True)
class TrialRow:
    """A training of a trial, as a row of the table below the diagram."""

    trial: Trial
    run: TrialRun
    #: The value of each swept field.
    point: Mapping[str, Value]
    #: Weight of the training from whose end it goes on; None from scratch.
    warm_start: Value | None
    #: None until the trial has values.
    measures: Measures | None
    outcome: SeedOutcome | None
    #: Verdict of the newest evaluation, while the run is in work.
    verdict: Verdict | None
    progress: Progress | None

    @property
    def regime(self) -> str:
        now = self.outcome or self.verdict
        if now is None:
            return ""
        return in_words(now.regime, now.flaws)


@dataclass(frozen=True)
class StudyPage:
    study: StudyView
    rows: Sequence[TrialRow]
    #: None for studies that do not sweep a single field of numbers.
    chart: PhaseChart | None
    #: What to know before anybody trusts the range, in short sentences.
    reliability: Sequence[str]
    #: Seconds that the trainings in work still take; None if none is in work.
    busy_s: float | None
    #: When all that the study wants is done, in words; None if that is not known.
    eta: str | None

    @property
    def last_rows(self) -> Sequence[TrialRow]:
        """As many of the last rows as anybody reads; the exports of the study have all."""
        return self.rows[-MOST_ROWS:]

    @property
    def answer(self) -> str | None:
        """The weights that are in the band for certain; None as long as there are none.

        Where a seed has no training in the band between two edges, these weights were inferred
        from other seeds, and are left out.
        """
        known = self.study.range
        if not known:
            return None
        cores = [
            each.core
            for each in known.intervals
            if each.core and self._seeds_between(*each.core, known) >= set(known.seeds)
        ]
        if not cores:
            return None
        weight = ", ".join(field.rpartition(".")[2] for field in known.fields)
        return f"Trainings are {known.of} for {weight} " + " and ".join(
            f"{low:.4g} to {high:.4g}" for low, high in cores
        )

    def _seeds_between(self, low: float, high: float, known: StudyRange) -> set[int]:
        """The seeds of trainings from scratch that were in the band at these weights."""
        field = known.fields[0]  # studies of several have no intervals
        return {
            row.run.seed
            for row in self.rows
            if row.outcome is not None
            and row.outcome.is_inside(known.of)
            and row.warm_start is None
            and isinstance(weight := row.point.get(field), int | float)
            and low <= weight <= high
        }

    @property
    def edges(self) -> Sequence[BandRows]:
        return edge_rows(self.study.range) if self.study.range else ()

    @property
    def facts_of_models(self) -> Mapping[str, str]:
        return facts_of_models(self.study.range) if self.study.range else {}

    @property
    def work(self) -> list[str]:
        """How far the study has come, and what its trainings do now, in short sentences."""
        parts = [*_spent(self.study)]
        states = Counter(row.run.state for row in self.rows)
        if training := states[RunState.RUNNING]:
            left = "" if self.busy_s is None else f", done in {duration(self.busy_s)}"
            are = "trainings are" if training != 1 else "training is"
            parts.append(f"{training:,} {are} running{left}")
        if waiting := states[RunState.QUEUED]:
            parts.append(f"{waiting:,} wait{'s' * (waiting == 1)} for an agent")
        parts += [] if self.eta is None else [self.eta]
        return parts


def _spent(study: StudyView) -> Iterator[str]:
    """What the study has had of all that it wants, in trials and in steps."""
    others = ", ".join(
        f"{count:,} {state}"
        for state, count in study.trials.items()
        if count and state not in (TrialState.COMPLETED, TrialState.RUNNING)
    )
    completed = f"{study.completed:,} of {study.trials_wanted:,} trials completed"
    if study.is_by_steps:
        completed = f"{study.completed:,} trial{'s' * (study.completed != 1)} completed"
    yield f"{completed} ({others})" if others else completed
    if study.steps_wanted is not None:
        yield f"{study.steps_spent or 0:,} of {study.steps_wanted:,} training steps spent"


async def study_page(session: AsyncSession, settings: Settings, study: Study) -> StudyPage:
    trials = await studies.trials_of(session, study.id)
    runs = await runs_of_study(session, study.id)
    in_work = [run.id for of_trial in runs.values() for run in of_trial if not run.state.is_final]
    newest = await newest_evaluations(session, in_work)
    fields = study.spec.get("search", {})
    rows = [
        row
        for trial in trials
        for row in _rows(trial, runs.get(trial.experiment_id, []), newest, fields)
    ]
    # runs that wait again keep the progress of the attempt that was lost
    running = [row for row in rows if row.run.state is RunState.RUNNING]
    left = [row.progress.eta_s for row in running if row.progress]
    view = await answers.study_view(session, settings, study, trials)
    counts = {study.id: view.trials}
    verdicts = await verdicts_of(session, counts)
    return StudyPage(
        study=view,
        rows=rows,
        chart=_chart(study, rows),
        reliability=list(
            reliability(verdicts[study.id], view.range.disagreeing if view.range else None)
        ),
        busy_s=max(left, default=None),
        eta=(await etas(session, counts)).get(study.id),
    )


def _rows(
    trial: Trial,
    runs: Sequence[TrialRun],
    newest: Mapping[UUID, Mapping[str, Any]],
    fields: Collection[str],
) -> Iterator[TrialRow]:
    reader = Reader()
    point = reader.point(trial.point)
    measured = reader.readable("measured", trial.measured)
    for place, run in enumerate(runs):
        evaluation = reader.read("evaluation", Evaluation, newest.get(run.id))
        has_own = measured is not None and place < len(measured.observations)
        yield TrialRow(
            trial=trial,
            run=run,
            point={field: value for field, value in point.items() if field in fields},
            warm_start=point.get(WARM_START),
            measures=measured.of_seeds[place] if measured and has_own else None,
            outcome=measured.observations[place] if measured and has_own else None,
            verdict=None if evaluation is None else evaluation.verdict,
            progress=reader.read("progress", Progress, run.progress),
        )


def _chart(study: Study, rows: Sequence[TrialRow]) -> PhaseChart | None:
    try:
        spec = studies.spec_of(study)
    except EarlierVersion:
        return None
    ends = numeric_ends(spec)
    if ends is None:
        return None
    field, low, high = ends
    dots = [dot for row in rows if (dot := _dot(field, row)) is not None]
    found = Reader().readable("range", study.range)
    is_log = spec.swept[field].log_uniform is not None
    return phase_chart(field, (low, high), is_log, dots, found)


def numeric_ends(spec: StudySpec) -> tuple[str, float, float] | None:
    """The swept field and its ends; None if there are several, or it is not of numbers."""
    if len(spec.swept) != 1:
        return None
    ((field, axis),) = spec.swept.items()
    numbers = [float(end) for end in axis.ends if not isinstance(end, bool | str)]
    return (field, min(numbers), max(numbers)) if len(numbers) == len(axis.ends) else None


def _dot(field: str, row: TrialRow) -> Dot | None:
    """The mark of a training from scratch; None for all others, and for those that failed."""
    if row.warm_start is not None or field not in row.point:
        return None
    kind: Row
    if row.outcome is not None:
        kind = row.outcome.regime
    elif row.trial.state is TrialState.RUNNING and row.run.state is RunState.RUNNING:
        kind = "running"
    elif row.trial.state is TrialState.RUNNING and row.run.state is RunState.QUEUED:
        kind = "waiting"
    else:
        return None
    weight = float(row.point[field])
    measures = row.measures
    return Dot(
        run_id=row.run.id,
        weight=weight,
        seed=row.run.seed,
        row=kind,
        words=_words(weight, row),
        n_active=None if measures is None else measures.n_active,
        polarisation=None if measures is None else measures.polarisation,
        explained=None if measures is None else measures.explained,
        is_settled=bool(row.outcome and row.outcome.settled),
    )


def _words(weight: float, row: TrialRow) -> str:
    parts = [f"{weight:.4g}, seed {row.run.seed}: {row.regime or row.run.state}"]
    if row.measures is not None:
        parts.append(f"P {row.measures.polarisation:.2f}, R {row.measures.explained:.2f}")
    if row.outcome is not None:
        parts.append(settled_in_words(row.outcome.settled))
    elif row.progress is not None:
        parts.append(f"step {row.progress.step:,} of {row.progress.steps:,}")
    return "; ".join(parts)
