"""Schemas of the API's answers about experiments."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from polar.records.events import Progress
from polar.records.latents import Verdict
from polar.spec import ExperimentSpec, SpecPart
from polar.spec.fields import Integer
from polar.spec.training import MOST_STEPS
from service.api.schemas import Links, ResponseModel, StoredSpec, spec_alone
from service.descriptions import Description
from service.storage.states import RunState


class NewExperiment(Description, ExperimentSpec):
    """What is submitted: the spec of an experiment, and what is said of it."""

    @property
    def spec(self) -> ExperimentSpec:
        """The spec alone."""
        return spec_alone(ExperimentSpec, self)

    @property
    def said(self) -> Description:
        return Description.model_construct(tags=self.tags, note=self.note)


class MoreSteps(SpecPart):
    """The number of steps to which finished runs go on."""

    #: Number of steps at the end, those of before included.
    steps: Integer = Field(ge=1, le=MOST_STEPS)


class RunOfExperiment(ResponseModel):
    """One seed of an experiment."""

    id: UUID
    name: str
    #: Key -> value.
    tags: dict[str, str]
    seed: int
    state: RunState
    #: Why the run is in this state, as a stable word such as `dataset_corrupt`.
    reason: str | None
    #: Why the run is in this state, as a sentence for people.
    message: str | None
    #: Whether another experiment had asked for this run before.
    reused: bool
    progress: Progress | None
    #: Verdict of the newest evaluation.
    verdict: Verdict | None
    #: Whether training had settled at its end; None until the run has succeeded. It stays None
    #: where an earlier version judged by a weaker rule, so that nobody knows whether the run would
    #: have settled by the present rule.
    settled: bool | None
    #: Names of the fields that an earlier version stored and this version cannot read.
    of_earlier_version: list[str]
    links: Links


class ExperimentView(ResponseModel):
    """An experiment with its runs, in the order of its seeds."""

    id: UUID
    name: str
    #: Key -> value.
    tags: dict[str, str]
    #: Text in Markdown.
    note: str
    spec_hash: str
    state: RunState
    created_at: datetime
    cancelled_at: datetime | None
    #: The spec, completed with all defaults.
    spec: StoredSpec
    runs: list[RunOfExperiment]
    links: Links
    #: Command that shows the experiment live.
    watch: str


class ExperimentSummary(ResponseModel):
    """An experiment in a list."""

    id: UUID
    name: str
    #: Key -> value.
    tags: dict[str, str]
    spec_hash: str
    state: RunState
    created_at: datetime
    #: Number of runs in each state.
    runs: dict[RunState, int]
    links: Links


class ExperimentPage(ResponseModel):
    """Experiments, newest first."""

    experiments: list[ExperimentSummary]
    #: `page_token` of the next page; None on the last page.
    next_page_token: str | None


class PlannedRun(ResponseModel):
    """What a seed would get: an existing run or a new one."""

    seed: int
    #: Id of the existing run; None if a new run would be made.
    run_id: UUID | None
    state: RunState | None


class Plan(ResponseModel):
    """What an experiment would be if it were submitted."""

    spec: StoredSpec
    spec_hash: str
    dataset_digest: str
    runs: list[PlannedRun]
