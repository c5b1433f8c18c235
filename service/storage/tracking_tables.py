"""The tables of how far MLflow has been told of studies; only the tracker writes here.

If these rows are missing, the tracker tells MLflow of a study anew, in the MLflow runs that the
study already has.
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
    #: The state and the end that MLflow was last told: the end shows whether a study has gone on
    #: and ended again in the same state. No state where what people say is to be told anew.
    state: Mapped[StudyState | None]
    finished_at: Mapped[datetime | None]


class TrialTracking(Base):
    """The MLflow run that stands for a trial."""

    __tablename__ = "trial_tracking"

    study_id: Mapped[UUID] = mapped_column(
        ForeignKey(StudyTracking.study_id, ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    #: None if the trial has one seed, whose run then stands for it.
    mlflow_run_id: Mapped[str | None]
    #: The state that MLflow was last told.
    state: Mapped[TrialState | None]

    __table_args__ = (
        ForeignKeyConstraint(["study_id", "number"], [Trial.study_id, Trial.number]),
    )


class TrackingFailure(Base):
    """A run or a study that MLflow could not be told of despite repeated tries."""

    __tablename__ = "tracking_failures"

    #: Id of the run or of the study.
    id: Mapped[UUID] = mapped_column(primary_key=True)
    why: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class NestedRun(Base):
    """The trial below which MLflow shows a run: the first trial that wanted it."""

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
