"""What bars say of a training, in terminals of several widths."""

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from uuid import UUID

import pytest
from rich.console import RenderableType

from service.api.run_events import Evaluated, Progressed, QueueMoved, RunEvent, StateChanged
from service.api.runs.schemas import RunView
from service.cli import bars, watching
from service.cli.bars import time_left
from service.storage.states import RunState
from tests.service.cli.terminals import FIELDS, NAMES, assert_whole, terminal

if TYPE_CHECKING:
    from tests.conftest import Reports


def test_the_time_left_is_in_hours_minutes_and_seconds(reports: "Reports") -> None:
    progress = reports.progress(10).model_copy(update={"eta_s": 3725.4})

    assert time_left(progress) == "1:02:05 left"


def test_after_the_last_step_the_latents_are_measured(reports: "Reports") -> None:
    # "0 s left" stood there for a minute, and the command looked as if it hung.
    assert time_left(reports.progress(100)) == "measuring"


RUN = UUID(int=1)


def run_of(seed: int, progress: object = None) -> RunView:
    run = SimpleNamespace(id=UUID(int=seed + 1), seed=seed, progress=progress)
    return cast(RunView, run)


def changed_to(state: RunState, reason: str | None = None) -> RunEvent:
    return StateChanged(
        event="state", run_id=RUN, state=state, reason=reason, message=None, attempt=1
    )


def moved_to(position: int) -> RunEvent:
    return QueueMoved(event="queue", run_id=RUN, position=position)


def test_a_pipe_gets_a_line_for_each_change_from_the_first_state_on(
    reports: "Reports", capsys: pytest.CaptureFixture[str]
) -> None:
    # All was silent until the end.
    progress = reports.progress(10).model_copy(update={"eta_s": 5.0})
    events = [
        changed_to(RunState.QUEUED),
        moved_to(2),
        moved_to(0),
        changed_to(RunState.RUNNING),
        Evaluated(event="evaluation", run_id=RUN, evaluation=reports.evaluation(0)),
        Progressed(event="progress", run_id=RUN, progress=progress),
        Progressed(event="progress", run_id=RUN, progress=progress),
        Evaluated(event="evaluation", run_id=RUN, evaluation=reports.evaluation(10)),
        changed_to(RunState.RUNNING),
        changed_to(RunState.FAILED, "out_of_memory"),
    ]

    watching.show(events, [run_of(0)])

    assert capsys.readouterr().err.splitlines() == [
        "seed 0: waits for an agent",
        "seed 0: queued, 2 before it",
        "seed 0: waits for an agent",
        "seed 0: is starting",
        "seed 0: running  clean 0.99",
        "seed 0: 10/100  0:00:05 left  clean 0.99",
        "seed 0: 10/100  running  clean 0.99",
        "seed 0: 10/100  failed (out_of_memory)  clean 0.99",
    ]


def test_a_run_that_trains_already_is_not_said_to_start(
    reports: "Reports", capsys: pytest.CaptureFixture[str]
) -> None:
    watching.show([changed_to(RunState.RUNNING)], [run_of(0, reports.progress(10))])

    assert capsys.readouterr().err == "seed 0: 10/100  running\n"


def test_a_terminal_shows_no_steps_of_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(80, monkeypatch) as screen:
        watching.show([changed_to(RunState.QUEUED)], [run_of(0)])

    lines = screen.lines()
    assert_whole(lines, 80, ["waits for an agent"])
    assert not any("/?" in line for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_bars(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    best = " ".join(f"{field}=1.234e-05" for field in FIELDS)
    with terminal(columns, monkeypatch) as screen, bars.Bars() as shown:
        run, one = shown.add("seed 0", total=3_000_000), shown.add(name)
        shown.update(run, completed=1_200_000, status="0:00:10 left", verdict="polarised 0.99")
        shown.update(one, status=f"running, 9 completed, best 0.1234 at {best}")
        shown.refresh()

    words = [f"{field}=1.234e-05" for field in FIELDS]
    assert_whole(screen.lines(), columns, ["1,200,000/3,000,000", "polarised 0.99", *words])


def test_of_more_bars_than_the_terminal_has_lines_those_are_shown_that_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(80, monkeypatch) as screen, bars.Bars() as shown:
        lines = [shown.add(f"seed {seed}") for seed in range(100)]
        shown.update(lines[77], status="running", is_moving=True)
        shown.refresh()

    assert_whole(screen.lines(), 80, ["seed 77", "and 78 others"])


def test_the_bars_of_a_thousand_runs_are_drawn_once_and_not_once_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Every bar that was added drew all bars again: 1,000 seeds took 27 s of CPU.
    drawings: list[bars.Bars] = []
    drawings_before_events: list[int] = []

    class Counted(bars.Bars):
        def get_renderables(self) -> Iterable[RenderableType]:
            drawings.append(self)
            return super().get_renderables()

    def no_events() -> Iterator[RunEvent]:
        drawings_before_events.append(len(drawings))
        yield from ()

    monkeypatch.setattr(watching, "Bars", Counted)
    with terminal(80, monkeypatch) as screen:
        watching.show(no_events(), [run_of(seed) for seed in range(1000)])

    assert_whole(screen.lines(), 80, ["seed 0", "and 978 others"])
    # The display draws once when it starts, and perhaps a few times by its own clock.
    assert 1 <= drawings_before_events[0] < 100
