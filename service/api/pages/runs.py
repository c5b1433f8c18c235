"""What the page of a run shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import Evaluation
from service.api.pages.course_chart import CourseChart, entropy_chart, loss_chart
from service.api.pages.machine import MachineUse, machine_use
from service.api.runs import answers
from service.api.runs.schemas import RunView
from service.api.stored import Reader
from service.settings import Settings
from service.storage.artifacts import artifacts_of
from service.storage.evaluations import evaluations_of
from service.storage.experiments import of_run
from service.storage.metrics import course_of, of_system
from service.storage.tables import Experiment, Run

FIGURES, PICTURE = "figures/", ".png"


@dataclass(frozen=True)
class RunPage:
    run: RunView
    #: The experiments that asked for the run, the oldest first.
    experiments: Sequence[Experiment]
    last: Evaluation | None
    charts: Sequence[CourseChart]
    machine: MachineUse | None
    #: Names of the pictures of the run.
    figures: Sequence[str]
    files: Sequence[str]

    @property
    def steps(self) -> int:
        return int(self.run.spec["training"]["steps"])


async def run_page(session: AsyncSession, settings: Settings, run: Run) -> RunPage:
    view = await answers.run_view(session, settings, run)
    reader = Reader()
    stored = await evaluations_of(session, run.id)
    read = [reader.read("evaluation", Evaluation, each) for each in stored]
    evaluations = [each for each in read if each is not None]
    losses = await course_of(session, run.id, "train/loss")
    steps = int(view.spec["training"]["steps"])
    charts = [entropy_chart(evaluations, steps)] if evaluations else []
    charts += [loss_chart(losses, steps)] if losses else []
    names = [file.name for file in await artifacts_of(session, run.id)]
    pictures = [name for name in names if name.startswith(FIGURES) and name.endswith(PICTURE)]
    return RunPage(
        run=view,
        experiments=await of_run(session, run.id),
        last=evaluations[-1] if evaluations else None,
        charts=charts,
        machine=machine_use(await of_system(session, run.id)),
        figures=[name.removeprefix(FIGURES) for name in pictures],
        files=[name for name in names if name not in pictures],
    )
