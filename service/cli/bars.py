"""Progress bars on stderr: each takes one line, or two if one is too narrow for its status."""

import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.progress import Progress, Task, TaskID
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from polar.records import events
from service.cli.output import console_on

LONGEST_BAR, SHORTEST_BAR = 40, 8
#: Lines of the terminal that the bars leave free.
FREE_LINES = 2


def time_left(progress: events.Progress) -> str:
    """Time that a training still takes; after its last step the latents are measured."""
    if progress.step == progress.steps:
        return "measuring"
    return f"{timedelta(seconds=round(progress.eta_s))} left"


class Bars(Progress):
    """Progress bars; if there are more than the terminal has lines, moving ones come first."""

    def __init__(self, *, transient: bool = False) -> None:
        self._terminal = console_on(sys.stderr)
        super().__init__(console=self._terminal, transient=transient)

    def add(self, name: str, total: int | None = None) -> TaskID:
        """Add a bar; its fields are `status`, `verdict` and `is_moving`, true while it has news.

        Add all bars before the display starts: one that has started is redrawn by every addition.
        """
        return self.add_task(name, total=total, status="", verdict="", is_moving=False)

    def get_renderables(self) -> Iterable[RenderableType]:
        room = len(self.tasks)
        if self._terminal.is_terminal:
            room = max(1, self._terminal.height - FREE_LINES)
        tasks = sorted(self.tasks, key=lambda task: not task.fields["is_moving"])
        shown = sorted(tasks[:room], key=lambda task: task.id)
        yield from (_bar(task, self._terminal.width) for task in shown)
        if len(shown) < len(tasks):
            yield Text(f"and {len(tasks) - len(shown):,} others")


def _bar(task: Task, width: int) -> RenderableType:
    total = "?" if task.total is None else f"{task.total:,.0f}"
    count = f"{task.completed:,.0f}/{total}"
    status = "  ".join(filter(None, (task.fields["status"], task.fields["verdict"])))
    before, after, beneath = [task.description], [count, status], []
    if _room(width, before, after) < SHORTEST_BAR:
        after, beneath = [count], [status]
    if _room(width, before, after) < SHORTEST_BAR:
        before, beneath = [], [task.description, status]
    length = min(_room(width, before, after), LONGEST_BAR)
    bar = ProgressBar(task.total, task.completed, width=length)
    line = Table.grid(padding=(0, 1))
    line.add_row(*map(Text, before), bar, *map(Text, after))
    return Group(line, *(Text(text, overflow="fold") for text in beneath if text))


def _room(width: int, before: Sequence[str], after: Sequence[str]) -> int:
    """Columns that are left for a bar, with a blank between the bar and each text."""
    return width - sum(cell_len(text) + 1 for text in (*before, *after))
