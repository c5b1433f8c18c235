"""The last states of finished runs, from which other runs go on."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import LAST_STATE_FILE
from polar.spec.course import trainings
from service.storage import forms
from service.storage.experiments import course_address
from service.storage.states import RunState
from service.storage.tables import STEPS_MADE, Artifact, Run

#: Most states that are offered to a run. It takes the next only if the state before is missing,
#: damaged, of another device, or beyond the step at which the run settles. Chosen by us, because
#: this is rare, and a run without any state only loses time.
MOST_STATES = 3


async def last_states_for(session: AsyncSession, run: Run) -> Sequence[str]:
    """Where the last states lie from which a run may go on instead of from scratch.

    They are those of runs with at most as many steps, and of runs that are stages of its warm
    start, whatever device they were trained on and wherever they were to end. There are none for
    a run that shares nothing, because somebody wants it to be trained anew.

    Returns:
        Paths below the artifact folder; the state that is farthest on comes first.
    """
    if run.key is None:
        return []
    spec = forms.experiment_spec(run.spec)
    specs = {course_address(each, run.dataset_digest): each for each in trainings(spec)}
    rows = await session.execute(
        select(Run.course, STEPS_MADE, Artifact.path)
        .join(Artifact, Artifact.run_id == Run.id)
        .where(
            Run.course.in_(specs),
            Run.state == RunState.SUCCEEDED,
            Artifact.name == LAST_STATE_FILE,
        )
    )
    order = list(specs)
    usable = [
        (order.index(address), made, path)
        for address, made, path in rows
        if made <= specs[address].training.steps
    ]
    return [path for _, _, path in sorted(usable, reverse=True)[:MOST_STATES]]
