"""What the page of a run shows."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import Evaluation
from polar.records.measurement import MEASUREMENT_FILE, Criterion, CriterionLabel
from service.api.pages.course_chart import CourseChart, entropy_chart, loss_chart
from service.api.pages.machine import MachineUse, machine_use
from service.api.problems import Refused
from service.api.runs import answers
from service.api.runs.log import Part, last_lines, read_on
from service.api.runs.schemas import RunView
from service.api.stored import Reader
from service.settings import Settings
from service.storage.artifacts import artifacts_of
from service.storage.evaluations import evaluations_of
from service.storage.experiments import of_run
from service.storage.metrics import course_of, of_system
from service.storage.pages import TrialOf, tried_by
from service.storage.tables import Experiment, Run

FIGURES, PICTURE, NUMBERS = "figures/", ".png", ".csv"
TRAVERSALS = "traversals.png"
LINES_OF_LOG = 40

#: The labels of each latent by each criterion that applies to the model.
Labels = Mapping[int, Mapping[Criterion, CriterionLabel]]

_LABELS = TypeAdapter(list[CriterionLabel])


@dataclass(frozen=True)
class RunPage:
    run: RunView
    #: The experiments that asked for the run, the oldest first.
    experiments: Sequence[Experiment]
    #: The trials of studies that some of them are.
    tried_by: Mapping[UUID, TrialOf]
    last: Evaluation | None
    charts: Sequence[CourseChart]
    machine: MachineUse | None
    #: Names of the pictures of the run.
    figures: Sequence[str]
    files: Sequence[str]
    #: Empty until the findings are made.
    labels: Labels
    #: The last lines of the newest log that is not empty; None where no log is here.
    log: Part | None

    @property
    def criteria(self) -> Sequence[Criterion]:
        """The criteria that apply, in the order of the labels."""
        return list(next(iter(self.labels.values()), {}))

    @property
    def other_figures(self) -> Sequence[str]:
        return [name for name in self.figures if name != TRAVERSALS]

    def numbers_of(self, picture: str) -> str | None:
        """Name of the file with the numbers of a picture; None where these are no text."""
        name = picture.removesuffix(PICTURE) + NUMBERS
        return name if FIGURES + name in self.files else None

    @property
    def steps(self) -> int:
        return int(self.run.spec["training"]["steps"])


async def run_page(session: AsyncSession, settings: Settings, run: Run) -> RunPage:
    view = await answers.run_view(session, settings, run)
    experiments = await of_run(session, run.id)
    reader = Reader()
    stored = await evaluations_of(session, run.id)
    read = [reader.read("evaluation", Evaluation, each) for each in stored]
    evaluations = [each for each in read if each is not None]
    losses = await course_of(session, run.id, "train/loss")
    steps = int(view.spec["training"]["steps"])
    if view.finished_at and (evaluations or losses):
        # the course of a run that ended early would be a line at the left end of its chart
        steps = max([*(each.step for each in evaluations), *(step for step, _ in losses)])
    charts = [entropy_chart(evaluations, steps)] if evaluations else []
    charts += [loss_chart(losses, steps)] if losses else []
    files = {file.name: file.path for file in await artifacts_of(session, run.id)}
    names = list(files)
    pictures = [name for name in names if name.startswith(FIGURES) and name.endswith(PICTURE)]
    return RunPage(
        run=view,
        experiments=experiments,
        tried_by=await tried_by(session, [each.id for each in experiments]),
        last=evaluations[-1] if evaluations else None,
        charts=charts,
        machine=machine_use(await of_system(session, run.id)),
        figures=[name.removeprefix(FIGURES) for name in pictures],
        files=[name for name in names if name not in pictures],
        labels=await asyncio.to_thread(_labels, settings.artifacts, files.get(MEASUREMENT_FILE)),
        log=await asyncio.to_thread(_log, settings.artifacts, run),
    )


def _labels(artifacts: Path, path: str | None) -> Labels:
    """The labels in the file of a measurement; empty if this version cannot read it."""
    if path is None:
        return {}
    try:
        labels = _LABELS.validate_python(json.loads((artifacts / path).read_bytes())["labels"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return {}
    of_latents: dict[int, dict[Criterion, CriterionLabel]] = {}
    for label in labels:
        of_latents.setdefault(label.latent, {})[label.criterion] = label
    return dict(sorted(of_latents.items()))


def _log(artifacts: Path, run: Run) -> Part | None:
    newest = None
    for attempt in range(run.attempt, 0, -1):
        try:
            part = read_on(artifacts, run, None, attempt)
        except Refused:
            continue
        if part.text:
            return part._replace(text=last_lines(part.text, LINES_OF_LOG))
        newest = newest or part
    return newest
