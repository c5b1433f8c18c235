"""What a draft would cost if it were submitted: trainings, steps and time."""

import math
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import ExperimentSpec, StudySpec
from service.api import submission
from service.api.experiments import answers as experiments
from service.api.pages.rendering import duration
from service.api.studies import answers as studies
from service.storage.durations import usual_duration

Bill = Mapping[str, str]


async def bill_of(session: AsyncSession, spec: ExperimentSpec | StudySpec) -> Bill:
    """What the spec would cost, in words, each with a name.

    Raises:
        Refused: no agent has the dataset, or allows the model.
    """
    if isinstance(spec, StudySpec):
        return await _bill_of_study(session, spec)
    return await _bill_of_experiment(session, spec)


async def _bill_of_experiment(session: AsyncSession, spec: ExperimentSpec) -> Bill:
    digest = await submission.dataset_digest(session, spec)
    plan = await experiments.plan(session, spec, digest)
    new = sum(run.run_id is None for run in plan.runs)
    there = len(plan.runs) - new
    stages = sum(stage.steps for stage in spec.training.warm_start)
    steps = spec.training.steps + stages
    usual = await usual_duration(session, spec)
    at_once = await studies.runs_at_once(session, spec.device, max(1, new))
    if not new:
        time = "none, because all runs exist already"
    elif usual is None:
        time = "unknown (no run of this dataset, model and batch size has succeeded here yet)"
    else:
        seconds = duration(usual.of(steps) * math.ceil(new / at_once))
        time = f"{seconds} ({usual.step_s:.2g} s a step, {studies.runs_in_words(at_once)})"
    return {
        "trainings": f"{new:,}" + (f"; {there:,} more exist already" if there else ""),
        "steps": f"{new * steps:,}" + (" at most" if spec.training.until == "settled" else ""),
        "time": time,
    }


async def _bill_of_study(session: AsyncSession, spec: StudySpec) -> Bill:
    digest = await submission.dataset_digest_of_study(session, spec)
    plan = await studies.study_plan(session, spec, digest)
    limit = spec.budget.steps or math.inf
    steps = [min(limit, plan.runs * each) for each in (spec.steps, spec.most_steps)]
    ends = (plan.estimated_least_s, plan.estimated_s)
    times = " to ".join(dict.fromkeys(duration(end) for end in ends if end is not None))
    return {
        "trainings": f"{plan.runs:,} at most, if none of them exists already",
        "steps": " to ".join(dict.fromkeys(f"{each:,}" for each in steps)) + " at most",
        "ends": plan.ends,
        "time": f"{times or 'unknown'} ({plan.estimate})",
    }
