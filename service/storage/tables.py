"""Our tables, in the schema `app`. The queue's tables are procrastinate's, in the schema `queue`.

A run belongs to one spec, one seed and one dataset, by content: several experiments that ask for
the same run share it (`experiment_runs`). Everything that a worker writes carries its attempt.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    Text,
    TypeDecorator,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from polar.spec.study import Point
from service.storage.forms import (
    EVALUATION,
    EXPERIMENT_SPEC,
    MEASURED,
    PROGRESS,
    RANGE,
    RESULT,
    STARTED,
    STUDY_SPEC,
    StoredJson,
    StoredRecord,
    Unreadable,
)


class RunState(StrEnum):
    """Where a run stands; the last four are final."""

    #: No worker has it; it may have had attempts before.
    QUEUED = "queued"
    #: One worker holds its lease.
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    #: Stopped by a study's broker.
    PRUNED = "pruned"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the run never changes again."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


class StudyState(StrEnum):
    """Where a study stands; the last three are final, unless it is extended or repaired."""

    RUNNING = "running"
    #: No new trials; those in flight go on.
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrialState(StrEnum):
    """Where a trial stands; all but the first are final."""

    RUNNING = "running"
    COMPLETED = "completed"
    #: Its runs were stopped early by the broker.
    PRUNED = "pruned"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: It was completed, and so was a later trial of the same point with more seeds.
    SUPERSEDED = "superseded"


class StateText(TypeDecorator[StrEnum]):
    """A state as text in the database and as an enum in Python."""

    impl = Text
    cache_ok = True

    def __init__(self, states: type[StrEnum]) -> None:
        super().__init__()
        self.states = states

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002
        return None if value is None else self.states(value)


class Base(DeclarativeBase):
    metadata = MetaData(
        schema="app",
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        },
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's own declaration)
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        str: Text,
        RunState: StateText(RunState),
        StudyState: StateText(StudyState),
        TrialState: StateText(TrialState),
        list[float]: JSONB,
        list[int]: JSONB,
    }


class Experiment(Base):
    """A spec that was accepted, complete with its defaults."""

    __tablename__ = "experiments"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    spec: Mapped[dict[str, Any]] = mapped_column(StoredJson(EXPERIMENT_SPEC))
    spec_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    cancelled_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "created_at", "id"),)


class Run(Base):
    """One seed of one spec, on one dataset."""

    __tablename__ = "runs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    #: Content address: spec of this seed + science version + dataset digest. None: never reused.
    key: Mapped[str | None]
    spec: Mapped[dict[str, Any]] = mapped_column(StoredJson(EXPERIMENT_SPEC))
    seed: Mapped[int] = mapped_column(BigInteger)
    dataset_digest: Mapped[str]
    #: Queue of its device class: any, cpu, cuda.
    queue: Mapped[str]
    state: Mapped[RunState] = mapped_column(default=RunState.QUEUED)
    #: A stable word, such as `dataset_corrupt`; and the sentence for people.
    status_reason: Mapped[str | None]
    status_message: Mapped[str | None]
    #: Number of the newest attempt: fences out what earlier ones still write.
    attempt: Mapped[int] = mapped_column(default=0)
    #: Attempts whose worker or child died without a word.
    losses: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    #: Set with `cancel_requested` by a study's broker: the run ends as pruned, for this reason.
    prune_reason: Mapped[str | None]
    prune_message: Mapped[str | None]
    #: Of its jobs: those of the highest go first, then the oldest.
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    #: The last `Started` and `Progress` of the run, as they came.
    started: Mapped[dict[str, Any] | None] = mapped_column(StoredJson(STARTED))
    progress: Mapped[dict[str, Any] | None] = mapped_column(StoredJson(PROGRESS))
    #: The newest published checkpoint, relative to the artifact folder.
    checkpoint: Mapped[str | None]
    checkpoint_step: Mapped[int | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(StoredJson(RESULT))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(
            "state in ('queued', 'running', 'succeeded', 'pruned', 'failed', 'cancelled')",
            name="state",
        ),
        CheckConstraint(
            "(state = 'running') = (lease_until is not null and owner is not null)",
            name="a_running_run_has_a_lease",
        ),
        CheckConstraint(
            "(state in ('queued', 'running')) = (finished_at is null)",
            name="a_final_run_has_an_end",
        ),
        # One reusable run for each content; failed ones and those that are being cancelled may be
        # tried anew.
        Index(
            "uq_runs_key_of_reusable",
            "key",
            unique=True,
            postgresql_where=text(
                "state in ('queued', 'running', 'succeeded') and not cancel_requested"
            ),
        ),
        Index(None, "job_id"),
        Index("ix_runs_unfinished", "created_at", postgresql_where=text("finished_at is null")),
    )


class ExperimentRun(Base):
    """Which runs an experiment asked for, in the order of its seeds."""

    __tablename__ = "experiment_runs"

    experiment_id: Mapped[UUID] = mapped_column(ForeignKey(Experiment.id), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), index=True)


class Transition(Base):
    """Every change of a run's state, as it happened."""

    __tablename__ = "transitions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), index=True)
    attempt: Mapped[int]
    state: Mapped[RunState]
    reason: Mapped[str | None]
    message: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Metric(Base):
    """One number of one step; the first value that was reported stands."""

    __tablename__ = "metrics"

    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    value: Mapped[float]
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Order of writing within a run: the tracker's position is one of these.
    sequence: Mapped[int] = mapped_column(BigInteger, Identity())

    __table_args__ = (Index(None, "run_id", "sequence"),)


class EvaluationRow(Base):
    """One evaluation of a run: the measures of every latent."""

    __tablename__ = "evaluations"

    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    attempt: Mapped[int]
    evaluation: Mapped[dict[str, Any]] = mapped_column(StoredJson(EVALUATION))
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Artifact(Base):
    """A file of a run's result, below the artifact folder."""

    __tablename__ = "artifacts"

    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str]
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Agent(Base):
    """A worker's agent and what it offers; kept after it is gone."""

    __tablename__ = "agents"

    name: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    device: Mapped[str]
    queues: Mapped[str]
    #: Name -> digest of the datasets on this machine.
    datasets: Mapped[dict[str, Any]]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Tracking(Base):
    """How far MLflow has been told of a run; only the tracker writes here."""

    __tablename__ = "tracking"

    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), primary_key=True)
    mlflow_experiment_id: Mapped[str]
    mlflow_run_id: Mapped[str]
    #: Sequence of the last metric that MLflow has.
    metric_sequence: Mapped[int] = mapped_column(BigInteger, default=0)
    #: Attempt and state that MLflow was last told.
    attempt: Mapped[int] = mapped_column(default=0)
    state: Mapped[RunState | None]
    #: Everything of a finished run has arrived.
    complete: Mapped[bool] = mapped_column(default=False)


class IdempotencyKey(Base):
    """The answer to a POST that may be repeated."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    #: What it made: an experiment or a study.
    experiment_id: Mapped[UUID | None] = mapped_column(ForeignKey(Experiment.id))
    study_id: Mapped[UUID | None] = mapped_column(ForeignKey("app.studies.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint(
            "(experiment_id is null) <> (study_id is null)", name="an_experiment_or_a_study"
        ),
    )


class Study(Base):
    """A spec of a study that was accepted, and how far it has come."""

    __tablename__ = "studies"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    spec: Mapped[dict[str, Any]] = mapped_column(StoredJson(STUDY_SPEC))
    dataset_digest: Mapped[str]
    state: Mapped[StudyState] = mapped_column(default=StudyState.RUNNING)
    #: A stable word, such as `budget_spent`; and the sentence for people.
    status_reason: Mapped[str | None]
    status_message: Mapped[str | None]
    #: Completed trials that end the study; more than in the spec once it was extended.
    trials_wanted: Mapped[int]
    #: Seeds of every trial from now on; more than in the spec once it was extended.
    seeds_wanted: Mapped[list[int]]
    #: Points of earlier trials that are to be tried again.
    to_repeat: Mapped[list[Point]] = mapped_column(JSONB, default=list)
    #: What the study has found, as far as it has come.
    range: Mapped[StudyRange | Unreadable | None] = mapped_column(StoredRecord(RANGE, StudyRange))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: When it was extended or repaired: its hours, and failures in a row, count anew from here.
    went_on_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(
            "state in ('running', 'paused', 'completed', 'failed', 'cancelled')", name="state"
        ),
        CheckConstraint(
            "(state in ('running', 'paused')) = (finished_at is null)",
            name="a_final_study_has_an_end",
        ),
        Index(None, "created_at", "id"),
    )


class Trial(Base):
    """One point of a study, and the experiment that tries it; only the broker writes here."""

    __tablename__ = "trials"

    study_id: Mapped[UUID] = mapped_column(ForeignKey(Study.id), primary_key=True)
    #: Optuna's number of it.
    number: Mapped[int] = mapped_column(primary_key=True)
    #: The value of every swept field, by its dotted name.
    point: Mapped[Point] = mapped_column(JSONB)
    experiment_id: Mapped[UUID] = mapped_column(ForeignKey(Experiment.id), unique=True)
    state: Mapped[TrialState] = mapped_column(default=TrialState.RUNNING)
    status_reason: Mapped[str | None]
    status_message: Mapped[str | None]
    #: Of each objective, over the seeds.
    values: Mapped[list[float] | None]
    #: The means of all measures, and what each seed ended with; none unless it has values.
    measured: Mapped[Measured | Unreadable | None] = mapped_column(
        StoredRecord(MEASURED, Measured)
    )
    #: Its place in the order in which studies take turns at the agents.
    turn: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

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
