"""Puts the range and the phase diagram of studies into MLflow; repeating it changes nothing.

Another process draws, so that the tracker loads neither numpy nor matplotlib.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from polar.errors import InvalidInput
from polar.records.phases import Phases, StudyFigure
from polar.records.ranges import StudyRange
from service.programs import Program, python
from service.short_processes import ShortProcesses
from service.storage import phases, studies, study_tracking
from service.storage.database import Database
from service.storage.study_tables import Study, Trial
from workers.tracking import study_entries
from workers.tracking.server import MLflowServer

#: Seconds from one drawing of a study to the next while it runs, because each takes a core for
#: some seconds.
REDRAW_S = 60.0
#: Longest time that a drawing may take; usual are some seconds.
DRAW_S = 300.0
FIGURE, KINDS = StudyFigure.PHASE_DIAGRAM, ("png", "svg")


class DrawingFailed(Exception):
    """The process that draws failed; everything else of the study has been told."""


class StudyFigures:
    """Brings the figures of a study up to date each time `put` is called.

    It remembers what it has drawn of studies that run, and nothing of those that have ended: their
    figures are put before it is noted that MLflow knows their end.
    """

    def __init__(self, database: Database, mlflow: MLflowServer) -> None:
        self._database = database
        self._mlflow = mlflow
        self._processes = ShortProcesses(at_once=1, limit_s=DRAW_S)
        #: How many trials the figures of each running study show, and when they were drawn.
        self._drawn: dict[UUID, tuple[int, float]] = {}
        #: Studies that have ended and of which MLflow has everything but the figures, as they were
        #: when they were told.
        self.undrawn: dict[UUID, Study] = {}

    async def due(self) -> Sequence[UUID]:
        """The studies whose figures in MLflow do not show everything, first those that run.

        After a restart all that run are among them, because nobody knows then what was drawn.
        """
        async with self._database.transaction() as session:
            ended = await study_tracking.ended_trials_of_running(session)
        self._drawn = {id: drawn for id, drawn in self._drawn.items() if id in ended}
        now = time.monotonic()
        running = [id for id, trials in ended.items() if trials and self._is_due(id, trials, now)]
        return [*running, *self.undrawn]

    def _is_due(self, study_id: UUID, trials: int, now: float) -> bool:
        if study_id not in self._drawn:
            return True
        shown, at = self._drawn[study_id]
        return trials != shown and now >= at + REDRAW_S

    async def put(self, study_id: UUID) -> None:
        """Put the range and the phase diagram of a study into its MLflow run.

        Raises:
            DrawingFailed: there is no phase diagram, although there is something to draw.
        """
        async with self._database.transaction() as session:
            study = await studies.get(session, study_id)
            trials = await studies.trials_of(session, study_id)
            position = await study_tracking.mlflow_run_of_study(session, study_id)
        if position is None:
            return
        root = await self._mlflow.file_root(position.mlflow_run_id)
        text = study_entries.range_text(study)
        await self._mlflow.put_file(root, "range.json", text.encode())
        content = await asyncio.to_thread(_content, study, trials)
        if content is not None:
            for name, file in await self._draw(content):
                await self._mlflow.put_file(root, name, file)
        if study.finished_at is None:
            ended = sum(trial.finished_at is not None for trial in trials)
            self._drawn[study_id] = ended, time.monotonic()

    async def _draw(self, content: Phases) -> Sequence[tuple[str, bytes]]:
        """The names and contents of the pictures and of the table of their numbers."""
        command = python(Program.STUDY_FIGURES, FIGURE, *(f"{FIGURE}.{kind}" for kind in KINDS))
        stdin = content.model_dump_json().encode()
        with tempfile.TemporaryDirectory(prefix="polar-") as name:
            folder = Path(name)
            try:
                ended = await self._processes.run(command, folder=folder, stdin=stdin)
            except TimeoutError:
                raise DrawingFailed(f"drawing took longer than {DRAW_S:g} s") from None
            if ended.code:
                said = ended.said.strip()[-500:]
                raise DrawingFailed(f"the drawing process ended with code {ended.code}: {said}")
            return _files_in(folder)


def _files_in(folder: Path) -> Sequence[tuple[str, bytes]]:
    return [(file.name, file.read_bytes()) for file in sorted(folder.iterdir())]


def _content(study: Study, trials: Sequence[Trial]) -> Phases | None:
    """What the phase diagram of a study shows; None if it has nothing to show."""
    found = study.range if isinstance(study.range, StudyRange) else None
    try:
        return phases.phases_of(studies.spec_of(study), found, phases.completed_of(trials))
    except InvalidInput:
        return None
