"""Schemas of what the API takes and answers about studies."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field, field_validator, model_validator

from polar.records.certificates import ComparedModel
from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from polar.spec import SpecPart, StudySpec
from polar.spec.axis import Value
from polar.spec.experiment import Seed
from polar.spec.fields import MOST_INTEGER, Integer
from polar.spec.study_parts import MOST_TRIALS
from polar.spec.training import MOST_STEPS
from service.api.schemas import Links, ResponseModel, StoredSpec, spec_alone
from service.descriptions import Description
from service.storage.states import StudyState, TrialState


class NewStudy(Description, StudySpec):
    """What is submitted: the spec of a study, and what is said of it."""

    @property
    def spec(self) -> StudySpec:
        """The spec alone."""
        return spec_alone(StudySpec, self)

    @property
    def said(self) -> Description:
        return Description.model_construct(tags=self.tags, note=self.note)


class Extension(SpecPart):
    """What a study is extended by: trials, steps, seeds, longer trainings, or several of them."""

    #: How many more completed trials the study should have. Its budget of steps, if it has one,
    #: grows by their steps, unless `budget_steps` says otherwise.
    trials: Integer = Field(0, ge=1, le=MOST_TRIALS)
    #: How many more training steps a study with a budget of steps may spend. Its number of trials
    #: grows by as many as have so many steps, unless `trials` says otherwise.
    budget_steps: Integer = Field(0, ge=1, le=MOST_INTEGER)
    #: Number of steps at the end of a training, those of before included. A range is searched with
    #: so many steps, from the trainings that it has; the completed trials of other studies all go
    #: on. A budget of steps grows by what all trainings need, and without `trials`, the trials of
    #: a range study by the number of its trainings.
    training_steps: Integer = Field(0, ge=1, le=MOST_STEPS)
    #: Further seeds for every trial; completed trials are trained on these alone, and a budget of
    #: steps grows by what that needs. The new trials of a range study, which have one seed each,
    #: may have these too.
    seeds: tuple[Seed, ...] = Field((), max_length=1000)

    @field_validator("seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is listed twice; allowed: each once")
        return seeds

    @model_validator(mode="after")
    def _extends_something(self) -> Self:
        if not (self.trials or self.budget_steps or self.training_steps or self.seeds):
            raise ValueError(
                "an extension has nothing to add; allowed: trials, budget_steps, training_steps, "
                "seeds, or several of them"
            )
        return self


class TrialView(ResponseModel):
    """One trial of a study: the point that it tries, and how it ended."""

    number: int
    #: The value of every swept field, by its dotted name; for a training of a range study its
    #: `seed` and its `training.steps` as well, and `training.warm_start.weight`, the weight of the
    #: training from whose end it goes on, where it is not from scratch.
    point: dict[str, Value]
    state: TrialState
    #: Why the trial is in this state, as a stable word such as `dataset_corrupt`.
    reason: str | None
    #: Why the trial is in this state, as a sentence for people.
    message: str | None
    #: The value of each objective over the seeds, in the order of the objectives.
    values: list[float] | None
    #: All measures, as means over the seeds and of each seed; None unless the trial has values.
    measured: Measured | None
    experiment_id: UUID
    created_at: datetime
    finished_at: datetime | None
    #: Names of the fields that an earlier version stored and this version cannot read.
    of_earlier_version: list[str]
    links: Links

    @property
    def regimes(self) -> str:
        """The verdicts of the seeds, each different verdict once; empty without values."""
        return ", ".join(dict.fromkeys(self.measured.regimes if self.measured else ()))


class TrialPage(ResponseModel):
    """Trials of a study, by number."""

    trials: list[TrialView]
    #: `page_token` of the next page; None on the last page.
    next_page_token: str | None


class Front(ResponseModel):
    """The completed trials that keep all constraints and that no other such trial dominates."""

    study_id: UUID
    #: Measure -> `maximize` or `minimize`, in the order of a trial's values.
    objectives: dict[str, str]
    trials: list[TrialView]


class StudyModels(ResponseModel):
    """The known models of a study's problem, whichever study or experiment trained them.

    They are of one network, trained on the same images, so that their losses can be compared.
    Runs of the study that its pruner judged by an early collapse are left out.
    """

    study_id: UUID
    #: In ascending order of weight, seed and steps.
    models: list[ComparedModel]
    #: The largest weight at which any known model of the problem, on whatever page, is better than
    #: total collapse; None if none is.
    better_than_collapse_to: float | None
    #: `page_token` of the next page; None on the last page.
    next_page_token: str | None


class StudyView(ResponseModel):
    """A study: how far it has come, and its best trial."""

    id: UUID
    name: str
    #: Key -> value.
    tags: dict[str, str]
    #: Text in Markdown.
    note: str
    state: StudyState
    #: Why the study is in this state, as a stable word such as `budget_spent`.
    reason: str | None
    #: Why the study is in this state, as a sentence for people.
    message: str | None
    created_at: datetime
    finished_at: datetime | None
    #: The spec, completed with all defaults.
    spec: StoredSpec
    dataset_digest: str
    #: Number of completed trials that ends the study; an extension raises it above the spec's.
    trials_wanted: int
    #: Number of training steps of all trials that ends the study; an extension raises it above the
    #: spec's. None without such a budget.
    steps_wanted: int | None
    #: Number of training steps that count towards `steps_wanted`: those of all trials but failed
    #: and cancelled ones, of which trials in flight count with all their steps, and trainings that
    #: went on count once. None without such a budget.
    steps_spent: int | None
    #: Number of steps to which the study's trainings were extended; None where they were not.
    training_steps_wanted: int | None
    #: Seeds of every trial, or those of which a trial of a range study has one, including those by
    #: which the study was extended.
    seeds_wanted: list[int]
    #: Number of trials that count towards `trials_wanted`: points that were completed or pruned.
    completed: int
    #: Number of trials in each state.
    trials: dict[TrialState, int]
    #: The best trial by the only objective; None with several objectives, which have a front.
    best: TrialView | None
    #: What the study has found so far, as at `/range`; None before its first completed trials.
    range: StudyRange | None
    #: Why MLflow still lacks something of the study after several tries; None otherwise.
    mlflow_error: str | None
    #: Names of the fields that an earlier version stored and this version cannot read.
    of_earlier_version: list[str]
    links: Links
    #: Command that shows the study live.
    watch: str

    @property
    def is_by_steps(self) -> bool:
        """Whether steps alone limit the study; `trials_wanted` is then no more than a bound."""
        if self.steps_wanted is None:
            return False
        return bool(self.spec.get("budget", {}).get("trials") == MOST_TRIALS)

    @property
    def seeks_range(self) -> bool:
        """Whether the study seeks a range; its objective decides nothing, and no trial is best."""
        return bool(self.spec.get("sampler") == "range")


class StudySummary(ResponseModel):
    """A study in a list."""

    id: UUID
    name: str
    #: Key -> value.
    tags: dict[str, str]
    state: StudyState
    reason: str | None
    #: Why it is in this state, in words.
    message: str | None
    created_at: datetime
    trials_wanted: int
    #: Number of training steps of all trials that ends the study; None without such a budget.
    steps_wanted: int | None
    #: Number of trials in each state.
    trials: dict[TrialState, int]
    links: Links


class StudyPage(ResponseModel):
    """Studies, newest first."""

    studies: list[StudySummary]
    #: `page_token` of the next page; None on the last page.
    next_page_token: str | None


class StudyPlan(ResponseModel):
    """What a study would be if it were submitted."""

    #: The spec, completed with all defaults.
    spec: StoredSpec
    dataset_digest: str
    #: Largest number of trials; the budget of steps or of hours may be spent before.
    trials: int
    #: Largest number of trainings, if none of the runs exists already.
    runs: int
    #: When the study ends, in words, such as `after 30 completed trials or 60,000 training steps,
    #: whichever comes first`.
    ends: str
    #: Estimated duration, seconds, if all trainings become as long as they may, such as
    #: `range.max_steps`; None until a run like these has succeeded here.
    estimated_s: float | None
    #: The same if all trainings stay as short as they may.
    estimated_least_s: float | None
    #: What the estimate rests on, or why there is none.
    estimate: str
