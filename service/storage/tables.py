"""Our tables, in the schema `app`; the tables of the queue, procrastinate's, are in `queue`.

A run is identified by the content of its spec, its seed and its dataset: experiments that ask for
the same run share it (`experiment_runs`). Everything that a worker writes carries the number of
its attempt.
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
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from service.storage.forms import (
    EVALUATION,
    EXPERIMENT_SPEC,
    PROGRESS,
    RESULT,
    STARTED,
    Content,
    StoredJson,
)
from service.storage.states import FindingsState, RunState, StudyState, TrialState


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
        dict[str, Any]: JSONB,  # raw JSON, whose columns say more: see forms.py
        dict[str, str]: JSONB,
        str: Text,
        RunState: StateText(RunState),
        StudyState: StateText(StudyState),
        TrialState: StateText(TrialState),
        FindingsState: StateText(FindingsState),
        list[float]: JSONB,
        list[int]: JSONB,
    }


class Described:
    """What people say of a row besides its name, and when they last changed any of it."""

    tags: Mapped[dict[str, str]] = mapped_column(default=dict, server_default="{}")
    note: Mapped[str] = mapped_column(default="", server_default="")
    #: When the name, the tags or the note changed after the row was made; None if they never did.
    described_at: Mapped[datetime | None]


class Experiment(Described, Base):
    """An experiment whose spec was accepted; the spec is stored complete with its defaults."""

    __tablename__ = "experiments"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    spec: Mapped[Content] = mapped_column(StoredJson(EXPERIMENT_SPEC))
    spec_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    cancelled_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "created_at", "id"), Index(None, "tags", postgresql_using="gin"))


class Run(Described, Base):
    """One seed of one spec, on one dataset."""

    __tablename__ = "runs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    #: Empty until somebody names the run.
    name: Mapped[str] = mapped_column(default="", server_default="")
    #: Content address: spec of this seed + science version + dataset digest. A run without it is
    #: never reused.
    key: Mapped[str | None]
    #: Address of the problem: dataset and network of the spec + science version + dataset digest.
    #: Runs of the same problem can be compared at every weight; null for runs of an early version.
    problem: Mapped[str | None]
    #: Address of the course: what decides the run's numbers, wherever it ends + science version +
    #: dataset digest. A run goes on from the last state of a shorter run of the same course; null
    #: for runs of an early version.
    course: Mapped[str | None]
    spec: Mapped[Content] = mapped_column(StoredJson(EXPERIMENT_SPEC))
    seed: Mapped[int] = mapped_column(BigInteger)
    dataset_digest: Mapped[str]
    #: Name of the queue, which is the run's device class: auto, cpu or cuda.
    queue: Mapped[str]
    state: Mapped[RunState] = mapped_column(default=RunState.QUEUED)
    #: Why the run is in its state: a stable word, such as `dataset_corrupt`, and a sentence.
    status_reason: Mapped[str | None]
    status_message: Mapped[str | None]
    #: Number of the newest attempt; it fences out what earlier attempts still write.
    attempt: Mapped[int] = mapped_column(default=0)
    #: Number of attempts whose worker or child died without saying why.
    losses: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    #: Set along with `cancel_requested` by a study's broker: the reason for which the run ends as
    #: pruned, a stable word and a sentence.
    prune_reason: Mapped[str | None]
    prune_message: Mapped[str | None]
    #: Priority of the run's jobs: higher first, ties to the older job.
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    #: The last `Started` and `Progress` events of the run.
    started: Mapped[Content | None] = mapped_column(StoredJson(STARTED))
    progress: Mapped[Content | None] = mapped_column(StoredJson(PROGRESS))
    #: The newest published checkpoint, relative to the artifact folder.
    checkpoint: Mapped[str | None]
    checkpoint_step: Mapped[int | None]
    result: Mapped[Content | None] = mapped_column(StoredJson(RESULT))
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
        # There is at most one reusable run for each content. Failed runs and runs that are being
        # cancelled are not reusable, so that their content can be tried anew.
        Index(
            "uq_runs_key_of_reusable",
            "key",
            unique=True,
            postgresql_where=text(
                "state in ('queued', 'running', 'succeeded') and not cancel_requested"
            ),
        ),
        Index(None, "job_id"),
        Index(None, "problem"),
        Index(None, "course"),
        Index(None, "finished_at"),
        Index(None, "created_at", "id"),
        Index(None, "tags", postgresql_using="gin"),
        Index("ix_runs_unfinished", "created_at", postgresql_where=text("finished_at is null")),
    )


#: Number of steps that a run has made, as its result says; null before it has ended.
STEPS_MADE = type_coerce(Run.result, JSONB)["steps"].as_integer()


class ExperimentRun(Base):
    """A run that an experiment asked for, with its position in the order of the seeds."""

    __tablename__ = "experiment_runs"

    experiment_id: Mapped[UUID] = mapped_column(ForeignKey(Experiment.id), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), index=True)


class Transition(Base):
    """One change of a run's state; all changes are kept."""

    __tablename__ = "transitions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), index=True)
    attempt: Mapped[int]
    state: Mapped[RunState]
    reason: Mapped[str | None]
    message: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Metric(Base):
    """A metric's value at one step; the first value that was reported stands."""

    __tablename__ = "metrics"

    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    value: Mapped[float]
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Order of writing within a run; the tracker remembers how far it has come in it.
    sequence: Mapped[int] = mapped_column(BigInteger, Identity())

    __table_args__ = (Index(None, "run_id", "sequence"),)


class EvaluationRow(Base):
    """One evaluation of a run: the measures of every latent."""

    __tablename__ = "evaluations"

    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    attempt: Mapped[int]
    evaluation: Mapped[Content] = mapped_column(StoredJson(EVALUATION))
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Artifact(Base):
    """A file of a run's result, below the artifact folder."""

    __tablename__ = "artifacts"

    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str]
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class FindingsRow(Base):
    """The findings of a run that has succeeded: whether they are made, and by whom.

    Runs that ended under an earlier version have no row, because all of them is there.
    """

    __tablename__ = "findings"

    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), primary_key=True)
    state: Mapped[FindingsState] = mapped_column(default=FindingsState.TO_COME)
    #: Number of the newest attempt to make them; it fences out what earlier attempts still say.
    attempt: Mapped[int] = mapped_column(default=0)
    #: Attempts since the last end that were lost, and the present one.
    losses: Mapped[int] = mapped_column(default=0)
    #: Until when nobody else may begin an attempt.
    lease_until: Mapped[datetime | None]
    #: When somebody asked for them, who is therefore served before others.
    asked_at: Mapped[datetime | None]
    #: Why they failed, or why the last attempt did: a stable word and a sentence.
    reason: Mapped[str | None]
    message: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("state in ('to_come', 'made', 'failed')", name="state"),
        Index("ix_findings_to_come", "run_id", postgresql_where=text("state = 'to_come'")),
    )


class Agent(Base):
    """A worker's agent and what it offers; the row is kept after the agent is gone."""

    __tablename__ = "agents"

    name: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    device: Mapped[str]
    queues: Mapped[str]
    #: Digest of each dataset on the agent's machine, by its name.
    datasets: Mapped[dict[str, str]]
    #: What is known of each of the datasets that a user has added, by its name.
    own_images: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    #: The models of users that the agent's owner allows.
    models: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    #: What keeps the agent from taking runs, such as a folder that cannot be written to.
    fault: Mapped[str | None]
    #: The code that it runs, as `agents.code_version` says; None of an earlier version.
    code_version: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Tracking(Base):
    """How far MLflow has been told of a run; only the tracker writes here."""

    __tablename__ = "tracking"

    run_id: Mapped[UUID] = mapped_column(ForeignKey(Run.id), primary_key=True)
    mlflow_experiment_id: Mapped[str]
    mlflow_run_id: Mapped[str]
    #: The `sequence` of the last metric that MLflow has.
    metric_sequence: Mapped[int] = mapped_column(BigInteger, default=0)
    #: The attempt and the state that MLflow was last told; no state where what people say of the
    #: run is to be told anew.
    attempt: Mapped[int] = mapped_column(default=0)
    state: Mapped[RunState | None]
    #: Whether the run has ended and MLflow has everything of it.
    complete: Mapped[bool] = mapped_column(default=False)
