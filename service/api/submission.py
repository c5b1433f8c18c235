"""Submitting and cancelling: rows and jobs change in one transaction, or not at all."""

import contextlib
from collections.abc import Mapping, Sequence
from uuid import UUID

from procrastinate import App
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import ExperimentSpec, OwnImagesSpec, OwnModelSpec, StudySpec
from polar.spec.course import with_steps
from polar.spec.faults import Fault
from polar.spec.own_models import OTHER_CODE, PACKAGES_VARIABLE
from polar.spec.training import MOST_STEPS
from service import queue
from service.api.problems import refusal_of
from service.descriptions import NOTHING_SAID, Description
from service.storage import agents, experiments, forms, runs, studies
from service.storage.errors import Conflict
from service.storage.states import RunState
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run

#: The tag of an experiment that names the run that it tries again.
REPEATS = "repeats"


async def submit(
    session: AsyncSession,
    app: App,
    spec: ExperimentSpec,
    *,
    force: bool,
    said: Description = NOTHING_SAID,
) -> Experiment:
    """Store an experiment and queue its new runs.

    Raises:
        Refused: no agent has the dataset.
    """
    digest = await dataset_digest(session, spec)
    submission = await experiments.create(session, spec, digest, force=force, said=said)
    await queue.enqueue(app, session, submission.new)
    return submission.experiment


def going_on(spec: ExperimentSpec, finished: Sequence[Run], steps: int) -> ExperimentSpec:
    """The spec whose runs go on from the finished runs of a spec, until they have made more steps.

    Raises:
        Conflict: a run has not succeeded.
        Refused: a run has made as many steps already.
    """
    for run in finished:
        if run.state is not RunState.SUCCEEDED or run.result is None:
            raise Conflict(f"run {run.id} is {run.state}; allowed: runs that have succeeded")
    made = max(run.result["steps"] for run in finished if run.result)
    if steps <= made:
        fault = Fault(
            pointer="/steps",
            message=f"{made} steps have been made",
            type="too_small",
            value=repr(steps),
            allowed=f"an integer from {made + 1} to {MOST_STEPS}",
            suggestion=None,
        )
        raise refusal_of(fault, "invalid-spec")
    return with_steps(spec, steps)


async def repeat(session: AsyncSession, app: App, run: Run) -> Experiment:
    """Store an experiment that tries a run again that has failed or was cancelled.

    Raises:
        Conflict: the run is in another state.
        EarlierVersion: this version cannot read its spec.
        Refused: no agent has the dataset any more.
    """
    if run.state not in (RunState.FAILED, RunState.CANCELLED):
        raise Conflict(
            f"run {run.id} is {run.state}; allowed: runs that have failed or were cancelled"
        )
    said = Description(tags={REPEATS: str(run.id)})
    return await submit(session, app, forms.experiment_spec(run.spec), force=False, said=said)


async def submit_study(
    session: AsyncSession, spec: StudySpec, said: Description = NOTHING_SAID
) -> Study:
    """Store a study; the broker begins it within seconds.

    Raises:
        Refused: no agent has the dataset.
    """
    digest = await dataset_digest_of_study(session, spec)
    return await studies.create(session, spec, digest, said)


async def dataset_digest_of_study(session: AsyncSession, spec: StudySpec) -> str:
    """Digest of the dataset of a study's base experiment, as its agents have it.

    Raises:
        Refused: no agent has the dataset.
    """
    return await dataset_digest(session, spec.base, at="/base")


async def dataset_digest(session: AsyncSession, spec: ExperimentSpec, *, at: str = "") -> str:
    """Digest of a spec's dataset, as the agents that may take its runs have it.

    A model of a user's own is looked for as well.

    Args:
        session: The request's transaction.
        spec: The spec of an experiment.
        at: JSON pointer to the spec in what the client sent.

    Raises:
        Refused: no such agent has the dataset or allows the model, or there is no such agent.
    """
    digests = await agents.datasets(session, spec.device)
    digest: str | None = digests.get(spec.dataset.label)
    is_other = isinstance(spec.dataset, OwnImagesSpec) and digest != spec.dataset.digest
    if digest is None or is_other:
        fault = await _why_unavailable(session, spec, at, digests)
        raise refusal_of(fault, "invalid-spec")
    if isinstance(spec.model, OwnModelSpec):
        await _refuse_unless_allowed(session, spec.model, spec.device, at)
    return digest


async def _refuse_unless_allowed(
    session: AsyncSession, model: OwnModelSpec, device: str, at: str
) -> None:
    allowed = [agents.models_of(agent) for agent in await agents.of_queue(session, device)]
    codes = {code for each in allowed if (code := each.code_of(model.kind))}
    if model.code in codes:
        return
    names = {name for each in allowed for name in (*each.packages, *each.names)}
    fault = Fault(
        pointer=f"{at}/model/class",
        message=f"no agent for device {device} allows this model; the owner of its machine "
        f"installs its package and names it in {PACKAGES_VARIABLE}",
        type="model_unavailable",
        value=repr(model.kind),
        allowed=f"models of: {', '.join(sorted(names)) or 'none'}",
        suggestion=None,
    )
    if codes:
        fault = fault.model_copy(
            update={
                "pointer": f"{at}/model/code",
                "type": OTHER_CODE,
                "message": "the agents have other code of this model than the spec names; they "
                "look every 15 s",
                "value": repr(model.code),
                "allowed": ", ".join(sorted(codes)),
            }
        )
    raise refusal_of(fault, "invalid-spec")


async def _why_unavailable(
    session: AsyncSession, spec: ExperimentSpec, at: str, digests: Mapping[str, str]
) -> Fault:
    """Why no agent has a spec's dataset: no agent serves its device, or none has this dataset."""
    if digests:
        dataset, name = spec.dataset, spec.dataset.label
        is_own = isinstance(dataset, OwnImagesSpec)
        message = f"no agent for device {spec.device} has this dataset"
        if dataset.is_fetched:
            message += f"; `polar data fetch {name}`, on the machine of the agents, gets it"
        elif isinstance(dataset, OwnImagesSpec):
            message += (
                f" with digest {dataset.digest}; `polar data add`, on the machine of the "
                "agents, adds it, and they offer it within 15 s"
            )
        return Fault(
            pointer=f"{at}/dataset/{'added' if is_own else 'name'}",
            message=message,
            type="dataset_unavailable",
            value=repr(name),
            allowed=", ".join(sorted(digests)),
            suggestion=None,
        )
    seen = await agents.seen_lately(session)
    queues = {queue for agent in seen for queue in agent.queues.split(",")}
    return Fault(
        pointer=f"{at}/device",
        message="no agent for this device was seen within the last hour"
        if queues
        else "no agent was seen within the last hour; `polar up` starts one",
        type="device_unavailable",
        value=repr(spec.device),
        allowed=", ".join(sorted(queues)) or None,
        suggestion=None,
    )


async def cancel(session: AsyncSession, experiment_id: UUID) -> Experiment:
    """Cancel an experiment and those of its runs that no other experiment wants.

    Raises:
        NotFound: no experiment has this id.
        Conflict: all its runs have ended.
    """
    await queue.cancel_experiment(session, experiment_id)
    return await experiments.get(session, experiment_id)


async def cancel_run(session: AsyncSession, run_id: UUID) -> Run:
    """Cancel a run even if several experiments want it; its agent stops it within seconds.

    Raises:
        NotFound: no run has this id.
        Conflict: the run has ended in another way.
    """
    run = await runs.request_cancel(session, run_id)
    await queue.cancel(session, [run])
    return run


async def cancel_study(session: AsyncSession, study_id: UUID) -> Study:
    """Cancel a study, and those runs of its trials in flight that nobody else wants.

    Raises:
        NotFound: no study has this id.
        Conflict: the study has ended in another way.
    """
    for experiment_id in await studies.cancel(session, study_id):
        with contextlib.suppress(Conflict):  # it has ended, which the broker will soon record
            await queue.cancel_experiment(session, experiment_id)
    return await studies.get(session, study_id)
