"""What the API answers: its contract with clients, who read these same models."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from polar.records.events import LatentDiagnostics, Progress, Result, Verdict
from polar.records.measurement import Measurement
from polar.spec import SpecPart
from polar.spec.experiment import Seed
from polar.spec.faults import Fault
from polar.spec.part import Whole
from polar.spec.study import MOST_TRIALS
from service.storage.tables import RunState, StudyState, TrialState

#: Relation -> address: paths of this API, and whole URLs of MLflow and of optuna-dashboard; none
#: as long as MLflow knows nothing of the run.
Links = dict[str, str | None]


class View(BaseModel):
    """Base of all answers: frozen, read from rows."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Problem(View):
    """Why a request was refused (RFC 9457), with all faults of a spec at once."""

    #: `urn:polar:problem:` and a stable word, such as `invalid-spec`.
    type: str
    title: str
    status: int
    detail: str
    instance: str
    #: Finds this refusal in the log of the service.
    request_id: str
    errors: list[Fault]


class RunOfExperiment(View):
    """One seed of an experiment."""

    id: UUID
    seed: int
    state: RunState
    #: A stable word, such as `dataset_corrupt`; and the sentence for people.
    reason: str | None
    message: str | None
    #: Whether another experiment had asked for this run before.
    reused: bool
    progress: Progress | None
    #: That of the newest evaluation.
    verdict: Verdict | None
    #: Whether the verdict had settled at the end; none before the run succeeded.
    converged: bool | None
    #: Those parts of this answer that an earlier version stored and this one cannot read.
    of_earlier_version: list[str]
    links: Links


class ExperimentView(View):
    """An experiment with its runs, in the order of its seeds."""

    id: UUID
    name: str
    spec_hash: str
    state: RunState
    created_at: datetime
    cancelled_at: datetime | None
    #: Complete with all its defaults.
    spec: dict[str, Any]
    runs: list[RunOfExperiment]
    links: Links
    #: The command that shows it live.
    watch: str


class ExperimentSummary(View):
    """An experiment in a list."""

    id: UUID
    name: str
    spec_hash: str
    state: RunState
    created_at: datetime
    #: How many runs are in which state.
    runs: dict[RunState, int]
    links: Links


class ExperimentPage(View):
    """Experiments, newest first."""

    experiments: list[ExperimentSummary]
    #: `page_token` of the next page; none at the end.
    next_page_token: str | None


class PlannedRun(View):
    """What a seed would get: the run that there is already, or a new one."""

    seed: int
    run_id: UUID | None
    state: RunState | None


class Plan(View):
    """What an experiment would be, if it was submitted."""

    spec: dict[str, Any]
    spec_hash: str
    dataset_digest: str
    runs: list[PlannedRun]


class TransitionView(View):
    """One change of a run's state."""

    at: datetime
    attempt: int
    state: RunState
    reason: str | None
    message: str | None


class RunView(View):
    """One run: where it stands, how it came there, and what came of it."""

    id: UUID
    seed: int
    spec: dict[str, Any]
    dataset_digest: str
    #: Device class of the agents that may take it.
    queue: str
    state: RunState
    reason: str | None
    message: str | None
    attempt: int
    cancel_requested: bool
    #: How many queued runs will be taken before this one; none when it does not wait.
    queue_position: int | None
    progress: Progress | None
    #: That of the newest evaluation.
    verdict: Verdict | None
    #: With the explanation in words; none before the run succeeded.
    result: Result | None
    checkpoint_step: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    mlflow_experiment_id: str | None
    mlflow_run_id: str | None
    #: Why MLflow lacks something of the run, where that could not be mended by trying again.
    mlflow_error: str | None
    #: Those parts of this answer that an earlier version stored and this one cannot read.
    of_earlier_version: list[str]
    links: Links
    history: list[TransitionView]


class EvaluationSummary(View):
    """One evaluation without its latents."""

    step: int
    epoch: float
    reconstruction_nats: float
    verdict: Verdict


class LatentRow(LatentDiagnostics):
    """One latent at one evaluation: a row of the tidy table."""

    step: int
    epoch: float


class Diagnostics(View):
    """Everything that was measured of a run so far, as two tidy tables."""

    run_id: UUID
    evaluations: list[EvaluationSummary]
    latents: list[LatentRow]
    #: Those evaluations that an earlier version stored and this one cannot read.
    of_earlier_version: list[str]


class Figure(View):
    name: str
    url: str


class Figures(View):
    run_id: UUID
    figures: list[Figure]


class Extension(SpecPart):
    """What a study is extended by: trials, seeds or both."""

    #: So many more completed trials.
    trials: Whole = Field(0, ge=1, le=MOST_TRIALS)
    #: For every trial, besides those that the study has; completed trials are trained on these
    #: alone.
    seeds: tuple[Seed, ...] = Field((), max_length=1000)

    @field_validator("seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is listed twice; list each once")
        return seeds

    @model_validator(mode="after")
    def _extends_something(self) -> Self:
        if not (self.trials or self.seeds):
            raise ValueError("an extension has trials, seeds or both; here: neither")
        return self


class TrialView(View):
    """One trial of a study: the point that it tries, and what came of it."""

    number: int
    #: The value of every swept field, by its dotted name.
    point: dict[str, Any]
    state: TrialState
    #: A stable word, such as `dataset_corrupt`; and the sentence for people.
    reason: str | None
    message: str | None
    #: Of each objective, in their order, over the seeds.
    values: list[float] | None
    #: The means of all measures over the seeds, and the verdict of each seed.
    measured: dict[str, Any] | None
    experiment_id: UUID
    created_at: datetime
    finished_at: datetime | None
    links: Links


class TrialPage(View):
    """Trials of a study, by number."""

    trials: list[TrialView]
    #: `page_token` of the next page; none at the end.
    next_page_token: str | None


class Front(View):
    """The completed trials that keep all constraints and that no other such trial dominates."""

    study_id: UUID
    #: What the values of a trial are, in their order: measure -> `maximize` or `minimize`.
    objectives: dict[str, str]
    trials: list[TrialView]


class StudyView(View):
    """A study: how far it has come, and its best trial."""

    id: UUID
    name: str
    state: StudyState
    #: A stable word, such as `budget_spent`; and the sentence for people.
    reason: str | None
    message: str | None
    created_at: datetime
    finished_at: datetime | None
    #: Complete with all its defaults.
    spec: dict[str, Any]
    dataset_digest: str
    #: Completed trials that end the study; more than in the spec once it was extended.
    trials_wanted: int
    #: Seeds of every trial; more than in the spec once it was extended.
    seeds_wanted: list[int]
    #: How many trials are in which state.
    trials: dict[TrialState, int]
    #: Of a study with one objective; with several, the front has all that are best.
    best: TrialView | None
    #: What it has found so far, as under `range`; none before its first completed trials.
    range: dict[str, Any] | None
    #: Why MLflow lacks something of the study, where that could not be mended by trying again.
    mlflow_error: str | None
    #: Those parts of this answer that an earlier version stored and this one cannot read.
    of_earlier_version: list[str]
    links: Links
    #: The command that shows it live.
    watch: str


class StudySummary(View):
    """A study in a list."""

    id: UUID
    name: str
    state: StudyState
    reason: str | None
    created_at: datetime
    trials_wanted: int
    #: How many trials are in which state.
    trials: dict[TrialState, int]
    links: Links


class StudyPage(View):
    """Studies, newest first."""

    studies: list[StudySummary]
    #: `page_token` of the next page; none at the end.
    next_page_token: str | None


class StudyPlan(View):
    """What a study would be, if it was submitted."""

    spec: dict[str, Any]
    dataset_digest: str
    #: How many trials it would have, unless its hours are over before.
    trials: int
    #: How many trainings that is, if none of them exists already.
    runs: int
    #: None as long as nothing like it was measured.
    estimated_s: float | None
    #: What the estimate rests on, or why there is none.
    estimate: str


class MeasurementView(View):
    """The report of codes that were sent along."""

    id: UUID
    report: Measurement
    figures: list[Figure]
    links: Links


class ModelView(View):
    """A kind of model, with the JSON schema of each field: type, range, default."""

    name: str
    description: str
    #: The field that holds the weight, which sweeps vary; none for a model without one.
    weight_name: str | None
    fields: dict[str, Any]


class Holder(View):
    """An agent that has a dataset."""

    name: str
    host: str
    device: str
    seen_at: datetime


class DatasetView(View):
    """A dataset, and who has it: nobody, when it has no digest."""

    name: str
    digest: str | None
    agents: list[Holder]


class Health(View):
    status: Literal["ok", "ready"]
    #: The home whose stack this is, by its identity; none where `polar up` did not start it.
    home_id: str | None
