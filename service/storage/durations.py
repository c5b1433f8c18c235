"""How long runs take, judging by runs that have succeeded."""

from dataclasses import dataclass
from datetime import datetime
from statistics import median

from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import ExperimentSpec
from service.storage.states import RunState
from service.storage.tables import Run, Transition

#: Fields of models that decide how long a step takes, besides the name.
SIZES = ("widths", "class", "fields")


@dataclass(frozen=True)
class Duration:
    """The time that a run takes: for each step, and besides all steps."""

    step_s: float
    #: Seconds before, between and after the steps.
    besides_s: float

    def of(self, steps: int) -> float:
        """Seconds that a run of this many steps takes."""
        return self.besides_s + self.step_s * steps


async def usual_duration(session: AsyncSession, spec: ExperimentSpec) -> Duration | None:
    """Median duration of the 20 latest succeeded runs like those of a spec; None without any.

    Runs are alike if they have the same dataset, model, widths and batch size, and train from
    scratch; models of users' own have the same class and fields. What a run with a warm start
    takes depends on whether the states of its stages were there already.

    Both parts of the duration are medians over these runs. Every run reports how fast it trained;
    the rest of its time went into the start, the evaluations and the report, which do not take
    longer with more steps. The last attempt at a run counts, with the steps that it made itself.
    """
    base = spec.model_dump(mode="json")
    query = (
        select(Run, Transition.at)
        .join(
            Transition,
            (Transition.run_id == Run.id)
            & (Transition.attempt == Run.attempt)
            & (Transition.state == RunState.RUNNING),
        )
        .where(
            Run.state == RunState.SUCCEEDED,
            Run.spec["dataset"]["name"].astext == base["dataset"]["name"],
            Run.spec["model"]["name"].astext == base["model"]["name"],
            *(
                Run.spec["model"][field] == literal(base["model"][field], JSONB)
                for field in SIZES
                if field in base["model"]
            ),
            Run.spec["training"]["batch_size"].as_integer() == base["training"]["batch_size"],
            Run.spec["training"]["warm_start"][0].is_(None),
        )
        .order_by(Run.finished_at.desc())
        .limit(20)
    )
    ended = [_parts_of_time(run, began) for run, began in await session.execute(query)]
    parts = [known for known in ended if known is not None]
    if not parts:
        return None
    return Duration(
        step_s=median(step_s for step_s, _ in parts),
        besides_s=median(besides_s for _, besides_s in parts),
    )


def _parts_of_time(run: Run, began: datetime) -> tuple[float, float] | None:
    """Seconds for each step, and seconds besides all steps, of the last attempt at a run.

    None if the attempt made no step, as when it only had to write down what another had trained.
    """
    assert run.finished_at is not None
    seconds = (run.finished_at - began).total_seconds()
    training = run.spec["training"]
    last = (run.result or {}).get("steps", training["steps"])
    made: int = last - (run.started or {}).get("step", 0)
    if made <= 0:
        return None
    images_per_s = (run.progress or {}).get("images_per_s")
    if not images_per_s:
        return seconds / made, 0.0
    step_s = training["batch_size"] / images_per_s
    return step_s, max(seconds - step_s * made, 0.0)
