"""What the API answers about experiments."""

from datetime import datetime
from typing import Any
from uuid import UUID

from polar.records.events import Progress
from polar.records.latents import Verdict
from service.api.schemas import Links, ResponseModel
from service.storage.states import RunState


class RunOfExperiment(ResponseModel):
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


class ExperimentView(ResponseModel):
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


class ExperimentSummary(ResponseModel):
    """An experiment in a list."""

    id: UUID
    name: str
    spec_hash: str
    state: RunState
    created_at: datetime
    #: How many runs are in which state.
    runs: dict[RunState, int]
    links: Links


class ExperimentPage(ResponseModel):
    """Experiments, newest first."""

    experiments: list[ExperimentSummary]
    #: `page_token` of the next page; none at the end.
    next_page_token: str | None


class PlannedRun(ResponseModel):
    """What a seed would get: the run that there is already, or a new one."""

    seed: int
    run_id: UUID | None
    state: RunState | None


class Plan(ResponseModel):
    """What an experiment would be, if it was submitted."""

    spec: dict[str, Any]
    spec_hash: str
    dataset_digest: str
    runs: list[PlannedRun]
