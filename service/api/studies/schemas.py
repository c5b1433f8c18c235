"""What the API takes and answers about studies."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field, field_validator, model_validator

from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from polar.spec import SpecPart
from polar.spec.axis import Value
from polar.spec.experiment import Seed
from polar.spec.fields import Integer
from polar.spec.study import MOST_TRIALS
from service.api.schemas import Links, ResponseModel
from service.storage.states import StudyState, TrialState


class Extension(SpecPart):
    """What a study is extended by: trials, seeds or both."""

    #: So many more completed trials.
    trials: Integer = Field(0, ge=1, le=MOST_TRIALS)
    #: For every trial, besides those that the study has; completed trials are trained on these
    #: alone.
    seeds: tuple[Seed, ...] = Field((), max_length=1000)

    @field_validator("seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is listed twice; allowed: each once")
        return seeds

    @model_validator(mode="after")
    def _extends_something(self) -> Self:
        if not (self.trials or self.seeds):
            raise ValueError("an extension has neither trials nor seeds; allowed: either, or both")
        return self


class TrialView(ResponseModel):
    """One trial of a study: the point that it tries, and what came of it."""

    number: int
    #: The value of every swept field, by its dotted name.
    point: dict[str, Value]
    state: TrialState
    #: A stable word, such as `dataset_corrupt`; and the sentence for people.
    reason: str | None
    message: str | None
    #: The value of each objective over the seeds, in the order of the objectives.
    values: list[float] | None
    #: The means of all measures over the seeds, and each seed; none unless it has values.
    measured: Measured | None
    experiment_id: UUID
    created_at: datetime
    finished_at: datetime | None
    #: Those parts of this answer that an earlier version stored and this one cannot read.
    of_earlier_version: list[str]
    links: Links


class TrialPage(ResponseModel):
    """Trials of a study, by number."""

    trials: list[TrialView]
    #: `page_token` of the next page; none at the end.
    next_page_token: str | None


class Front(ResponseModel):
    """The completed trials that keep all constraints and that no other such trial dominates."""

    study_id: UUID
    #: What the values of a trial are, in their order: measure -> `maximize` or `minimize`.
    objectives: dict[str, str]
    trials: list[TrialView]


class StudyView(ResponseModel):
    """A study: how far it has come, and its best trial."""

    id: UUID
    name: str
    state: StudyState
    #: A stable word, such as `budget_spent`; and the sentence for people.
    reason: str | None
    message: str | None
    created_at: datetime
    finished_at: datetime | None
    #: Complete with all its defaults. Raw JSON, because it is also sent where this version would
    #: refuse it.
    spec: dict[str, Any]
    dataset_digest: str
    #: Completed trials that end the study; more than in the spec once it was extended.
    trials_wanted: int
    #: Seeds of every trial; more than in the spec once it was extended.
    seeds_wanted: list[int]
    #: How many trials count towards those wanted: points that were completed or pruned.
    completed: int
    #: How many trials are in which state.
    trials: dict[TrialState, int]
    #: The best trial by the one objective; None with several, where the front has all the best.
    best: TrialView | None
    #: What it has found so far, as under `range`; none before its first completed trials.
    range: StudyRange | None
    #: Why MLflow lacks something of the study, where that could not be mended by trying again.
    mlflow_error: str | None
    #: Those parts of this answer that an earlier version stored and this one cannot read.
    of_earlier_version: list[str]
    links: Links
    #: The command that shows it live.
    watch: str


class StudySummary(ResponseModel):
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


class StudyPage(ResponseModel):
    """Studies, newest first."""

    studies: list[StudySummary]
    #: `page_token` of the next page; none at the end.
    next_page_token: str | None


class StudyPlan(ResponseModel):
    """What a study would be, if it was submitted."""

    #: Raw JSON, as in the answer to its submission.
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
