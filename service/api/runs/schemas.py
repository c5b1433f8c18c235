"""Schemas of the API's answers about runs."""

from datetime import datetime
from uuid import UUID

from polar.records.events import Progress, Result
from polar.records.latents import LatentDiagnostics, Verdict
from service.api.schemas import Figure, Links, ResponseModel, StoredSpec
from service.storage.states import FindingsState, RunState


class TransitionView(ResponseModel):
    """One change of a run's state."""

    at: datetime
    attempt: int
    state: RunState
    reason: str | None
    message: str | None


class FindingsView(ResponseModel):
    """What is made of a run after it has succeeded: all but the verdict and its table."""

    state: FindingsState
    #: Why they failed, or why the last attempt at them did; None otherwise.
    reason: str | None
    message: str | None
    #: When somebody asked for them, so that they come before others; None if nobody did, and once
    #: they are made.
    asked_at: datetime | None


class RunView(ResponseModel):
    """One run: its state, its history and its result."""

    id: UUID
    #: Empty until somebody names the run.
    name: str
    #: Key -> value.
    tags: dict[str, str]
    #: Text in Markdown.
    note: str
    seed: int
    spec: StoredSpec
    dataset_digest: str
    #: Device class of the agents that may take the run.
    queue: str
    state: RunState
    reason: str | None
    message: str | None
    attempt: int
    cancel_requested: bool
    #: How many queued runs will be taken before this one; None unless the run is waiting.
    queue_position: int | None
    progress: Progress | None
    #: Verdict of the newest evaluation.
    verdict: Verdict | None
    #: Result, with its explanation in words; None until the run has succeeded.
    result: Result | None
    #: How far the figures and the rest of the result are; None until the run has succeeded, and
    #: for runs of an earlier version, of which everything is there.
    findings: FindingsView | None
    checkpoint_step: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    mlflow_experiment_id: str | None
    mlflow_run_id: str | None
    #: Why MLflow still lacks something of the run after several tries; None otherwise.
    mlflow_error: str | None
    #: Names of the fields that an earlier version stored and this version cannot read.
    of_earlier_version: list[str]
    links: Links
    history: list[TransitionView]


class RunSummary(ResponseModel):
    """A run in a list."""

    id: UUID
    #: Empty until somebody names the run.
    name: str
    #: Key -> value.
    tags: dict[str, str]
    seed: int
    state: RunState
    reason: str | None
    message: str | None
    #: The name of a published dataset, or that under which images were added.
    dataset: str
    #: The kind of model, or the class of an own model.
    model: str
    #: The weight with its name, such as `beta 2`; None for models without a weight.
    weight: str | None
    #: The number of steps that the spec asks for.
    steps: int | None
    #: The regime at the end; None until the run has succeeded.
    regime: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: Links


class RunPage(ResponseModel):
    """Runs, newest first."""

    runs: list[RunSummary]
    #: `page_token` of the next page; None on the last page.
    next_page_token: str | None


class EvaluationSummary(ResponseModel):
    """One evaluation without its latents."""

    step: int
    epoch: float
    reconstruction_nats: float
    verdict: Verdict


class LatentRow(LatentDiagnostics):
    """One latent at one evaluation: a row of the tidy table."""

    step: int
    epoch: float


class Diagnostics(ResponseModel):
    """Everything that has been measured in a run so far, as two tidy tables."""

    run_id: UUID
    evaluations: list[EvaluationSummary]
    latents: list[LatentRow]
    #: Names of the evaluations that an earlier version stored and this version cannot read.
    of_earlier_version: list[str]


class Figures(ResponseModel):
    run_id: UUID
    figures: list[Figure]
    #: Whether more figures are to come; None for runs of which everything is there.
    findings: FindingsView | None
