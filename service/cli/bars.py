"""Progress bars on stderr: each takes one line, or two if one is too narrow for its status."""

import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.progress import Progress, Task, TaskID
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from polar.records import events
from service.cli.output import console_on, say

LONGEST_BAR, SHORTEST_BAR = 40, 8
#: Lines of the terminal that the bars leave free.
FREE_LINES = 2


def time_left(progress: events.Progress) -> str:
    """Time that a training still takes; after its last step the latents are measured."""
    if progress.step == progress.steps:
        return "measuring"
    return f"{timedelta(seconds=round(progress.eta_s))} left"


class Bars(Progress):
    """Progress bars; if there are more than the terminal has lines, moving ones come first.

    Where stderr is no terminal there are no bars, and only what `tell` says is printed.
    """

    def __init__(self, *, transient: bool = False) -> None:
        self._terminal = console_on(sys.stderr)
        is_seen = self._terminal.is_terminal
        super().__init__(console=self._terminal, transient=transient, disable=not is_seen)
        self._told: dict[TaskID, str] = {}

    def add(self, name: str, total: int | None = None) -> TaskID:
        """Add a bar; its fields are `status`, `verdict` and `is_moving`, true while it has news.

        Add all bars before the display starts: one that has started is redrawn by every addition.
        """
        return self.add_task(name, total=total, status="", verdict="", is_moving=False)

    def tell(self, line: TaskID, **news: Any) -> None:  # noqa: ANN401
        """Update a bar, and print how it is now if there are no bars and this was not said yet."""
        self.update(line, **news)
        if not self.disable:
            return
        now = next(_in_words(task) for task in self.tasks if task.id == line)
        if now != self._told.get(line):
            self._told[line] = now
            say(now)

    def get_renderables(self) -> Iterable[RenderableType]:
        room = max(1, self._terminal.height - FREE_LINES)
        tasks = sorted(self.tasks, key=lambda task: not task.fields["is_moving"])
        shown = sorted(tasks[:room], key=lambda task: task.id)
        yield from (_bar(task, self._terminal.width) for task in shown)
        if len(shown) < len(tasks):
            yield Text(f"and {len(tasks) - len(shown):,} others")


def _in_words(task: Task) -> str:
    return f"{task.description}: {_joined(_count(task), _status(task))}"


def _count(task: Task) -> str:
    """How far it is; empty while nobody knows anything of it."""
    if task.total is None:
        return f"{task.completed:,.0f}/?" if task.completed else ""
    return f"{task.completed:,.0f}/{task.total:,.0f}"


def _status(task: Task) -> str:
    return _joined(task.fields["status"], task.fields["verdict"])


def _joined(*words: str) -> str:
    return "  ".join(filter(None, words))


def _bar(task: Task, width: int) -> RenderableType:
    count, status = _count(task), _status(task)
    before, after, beneath = [task.description], list(filter(None, (count, status))), []
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
