"""How long runs take, judging by runs that have succeeded."""

from dataclasses import dataclass
from statistics import median

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import StudySpec
from service.storage.states import RunState
from service.storage.tables import Run


@dataclass(frozen=True)
class Duration:
    """The time that a run takes: for each step, and besides all steps."""

    step_s: float
    #: Seconds before, between and after the steps.
    besides_s: float

    def of(self, steps: int) -> float:
        """Seconds that a run of this many steps takes."""
        return self.besides_s + self.step_s * steps


async def usual_duration(session: AsyncSession, spec: StudySpec) -> Duration | None:
    """Median duration of the 20 latest succeeded runs like those of a study; None without any.

    Runs are alike if they have the same dataset, model, widths and batch size.

    Both parts of the duration are medians over these runs. Every run reports how fast it trained;
    the rest of its time went into the start, the evaluations and the report, which do not take
    longer with more steps.
    """
    base = spec.base.model_dump(mode="json")
    query = (
        select(Run)
        .where(
            Run.state == RunState.SUCCEEDED,
            Run.spec["dataset"]["name"].astext == base["dataset"]["name"],
            Run.spec["model"]["name"].astext == base["model"]["name"],
            Run.spec["model"]["widths"] == base["model"]["widths"],
            Run.spec["training"]["batch_size"].as_integer() == base["training"]["batch_size"],
        )
        .order_by(Run.finished_at.desc())
        .limit(20)
    )
    parts = [_parts_of_time(run) for run in await session.scalars(query)]
    if not parts:
        return None
    return Duration(
        step_s=median(step_s for step_s, _ in parts),
        besides_s=median(besides_s for _, besides_s in parts),
    )


def _parts_of_time(run: Run) -> tuple[float, float]:
    """Seconds for each step, and seconds besides all steps, of a run that succeeded."""
    assert run.started_at is not None
    assert run.finished_at is not None
    seconds = (run.finished_at - run.started_at).total_seconds()
    training = run.spec["training"]
    images_per_s = (run.progress or {}).get("images_per_s")
    if not images_per_s:
        return seconds / training["steps"], 0.0
    step_s = training["batch_size"] / images_per_s
    return step_s, max(seconds - step_s * training["steps"], 0.0)
