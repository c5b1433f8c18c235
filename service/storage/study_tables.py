"""The tables of studies and their trials."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    false,
    func,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, column_property, mapped_column

from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from polar.spec.points import Point
from service.storage.forms import (
    MEASURED,
    RANGE,
    STUDY_SPEC,
    Content,
    StoredJson,
    StoredRecord,
    Unreadable,
)
from service.storage.states import StudyState, TrialState
from service.storage.tables import Base, Described, Experiment


class Study(Described, Base):
    """A study whose spec was accepted, and how far it has come."""

    __tablename__ = "studies"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    spec: Mapped[Content] = mapped_column(StoredJson(STUDY_SPEC))
    dataset_digest: Mapped[str]
    state: Mapped[StudyState] = mapped_column(default=StudyState.RUNNING)
    #: Why the study is in its state: a stable word, such as `budget_spent`, and a sentence.
    status_reason: Mapped[str | None]
    status_message: Mapped[str | None]
    #: Number of completed trials that ends the study; extending it adds to the spec's number.
    trials_wanted: Mapped[int]
    #: Number of training steps of all trials that ends the study; extending it adds to the spec's
    #: number; None without such a budget.
    steps_wanted: Mapped[int | None] = mapped_column(BigInteger)
    #: Seeds of every trial from now on, or those of which a trial of a range study has one;
    #: extending the study adds to the spec's seeds.
    seeds_wanted: Mapped[list[int]]
    #: Number of steps to which the study's trainings were extended; None where they were not.
    training_steps_wanted: Mapped[int | None]
    #: Points of earlier trials that are to be tried again.
    to_repeat: Mapped[list[Point]] = mapped_column(JSONB, default=list)
    #: The range that the study has found so far.
    range: Mapped[StudyRange | Unreadable | None] = mapped_column(StoredRecord(RANGE, StudyRange))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: When the study was last extended or its failed trials were last tried again: its hours and
    #: its failures in a row are counted from then on.
    went_on_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    #: Whether the study has ended and Optuna knows how all its trials ended, so that the broker
    #: has no more work with it.
    is_told: Mapped[bool] = mapped_column(default=False, server_default=false())

    __table_args__ = (
        CheckConstraint(
            "state in ('running', 'paused', 'completed', 'failed', 'cancelled')", name="state"
        ),
        CheckConstraint(
            "(state in ('running', 'paused')) = (finished_at is null)",
            name="a_final_study_has_an_end",
        ),
        Index(None, "created_at", "id"),
        Index(None, "tags", postgresql_using="gin"),
    )


#: The spec of an experiment, of which all forms have their seeds and steps in the same place.
_spec = type_coerce(Experiment.spec, JSONB)


class Trial(Base):
    """One point of a study, and the experiment that tries it; only the broker writes here."""

    __tablename__ = "trials"

    study_id: Mapped[UUID] = mapped_column(ForeignKey(Study.id), primary_key=True)
    #: Optuna's number of the trial.
    number: Mapped[int] = mapped_column(primary_key=True)
    #: The value of every swept field, by its dotted name; for a training of a range study also its
    #: `seed`, its `training.steps` and, if it goes on from inside the band, the weight of its warm
    #: start.
    point: Mapped[Point] = mapped_column(JSONB)
    experiment_id: Mapped[UUID] = mapped_column(ForeignKey(Experiment.id), unique=True)
    state: Mapped[TrialState] = mapped_column(default=TrialState.RUNNING)
    status_reason: Mapped[str | None]
    status_message: Mapped[str | None]
    #: The value of each objective, aggregated over the seeds.
    values: Mapped[list[float] | None]
    #: The means of all measures, and what each seed ended with; null where `values` is.
    measured: Mapped[Measured | Unreadable | None] = mapped_column(
        StoredRecord(MEASURED, Measured)
    )
    #: The trial's place in the order in which studies take turns at the agents.
    turn: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    #: Number of steps of each of its trainings, and the seeds of all of them, which are those that
    #: the study wanted when the trial began.
    steps: Mapped[int] = column_property(
        select(_spec["training"]["steps"].as_integer())
        .where(Experiment.id == experiment_id)
        .scalar_subquery(),
        expire_on_flush=False,  # they never change
    )
    seeds: Mapped[list[int]] = column_property(
        select(_spec["seeds"]).where(Experiment.id == experiment_id).scalar_subquery(),
        expire_on_flush=False,
    )

    __table_args__ = (
        CheckConstraint(
            "state in ('running', 'completed', 'pruned', 'failed', 'cancelled', 'superseded')",
            name="state",
        ),
        Index(None, "turn"),
        CheckConstraint(
            "(state = 'running') = (finished_at is null)", name="a_final_trial_has_an_end"
        ),
        CheckConstraint("(state <> 'completed') or (values is not null)", name="a_value"),
    )
