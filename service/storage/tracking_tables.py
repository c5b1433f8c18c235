"""How far MLflow has been told of studies; only the tracker writes here.

Without these rows a study is told anew, into the runs that MLflow has of it.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from service.storage.states import StudyState, TrialState
from service.storage.study_tables import Study, Trial
from service.storage.tables import Base, Tracking


class StudyTracking(Base):
    """The MLflow run that stands for a study."""

    __tablename__ = "study_tracking"

    study_id: Mapped[UUID] = mapped_column(ForeignKey(Study.id), primary_key=True)
    mlflow_experiment_id: Mapped[str]
    mlflow_run_id: Mapped[str]
    #: What MLflow was last told: its state, and its end, since it may go on and end again.
    state: Mapped[StudyState | None]
    finished_at: Mapped[datetime | None]


class TrialTracking(Base):
    """The MLflow run that stands for a trial."""

    __tablename__ = "trial_tracking"

    study_id: Mapped[UUID] = mapped_column(
        ForeignKey(StudyTracking.study_id, ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    #: None: it has one seed, whose run stands for it.
    mlflow_run_id: Mapped[str | None]
    #: What MLflow was last told.
    state: Mapped[TrialState | None]

    __table_args__ = (
        ForeignKeyConstraint(["study_id", "number"], [Trial.study_id, Trial.number]),
    )


class TrackingFailure(Base):
    """A run or a study that MLflow could not be told of, however often that was tried."""

    __tablename__ = "tracking_failures"

    #: Id of the run or of the study.
    id: Mapped[UUID] = mapped_column(primary_key=True)
    why: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class NestedRun(Base):
    """Below which trial a run lies in MLflow: the first that wanted it."""

    __tablename__ = "nested_runs"

    run_id: Mapped[UUID] = mapped_column(
        ForeignKey(Tracking.run_id, ondelete="CASCADE"), primary_key=True
    )
    study_id: Mapped[UUID]
    number: Mapped[int]

    __table_args__ = (
        ForeignKeyConstraint(
            ["study_id", "number"],
            [TrialTracking.study_id, TrialTracking.number],
            ondelete="CASCADE",
        ),
    )
