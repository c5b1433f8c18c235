"""Real terminals of several widths, what stands in them, and that it stands there whole."""

import fcntl
import os
import re
import struct
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from rich.cells import cell_len
from rich.console import RenderableType

from polar.records.latents import Regime
from service.api.experiments.schemas import RunOfExperiment
from service.cli import output
from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.conftest import Reports

#: Names of experiments, runs and studies.
NAMES = ["", "digits", "beta-VAE " * 11, "n" * 100, "\u540d" * 100, "e\u0301" * 50, "[/b] :x:"]
#: A link of MLflow, as long as they are.
LINK = f"http://127.0.0.1:5650/#/experiments/1/runs/{'0' * 32}?workflowType=machine_learning"
#: Names of the fields of a study.
FIELDS = [
    "model.beta", "model.latent_dim", "training.learning_rate", "training.batch_size",
    "training.steps", "training.weight_decay", "diagnostics.tau_std", "model.likelihood",
]  # fmt: skip
#: What a terminal obeys and does not show: colours, movements, links.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b]*\x1b\\")


class Terminal:
    """A pseudo-terminal; `lines` is what it has been sent."""

    def __init__(self, columns: int) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self.sent = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def close(self) -> None:
        """End the reader, for which pytest would wait at its end."""
        if not self.stream.closed:
            self.stream.close()
            self._reader.join()
            os.close(self._master)

    def lines(self) -> list[str]:
        """Close it; then all its lines, those that were written over, too."""
        self.close()
        return re.split(r"[\r\n]+", ESCAPES.sub("", self.sent.decode()))

    def _read(self) -> None:
        try:
            while more := os.read(self._master, 65536):
                self.sent += more
        except OSError:  # nobody has it open any more
            return


@contextmanager
def terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """In place of stdout and stderr."""
    screen = Terminal(columns)
    with monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm-256color")
        patch.delenv("COLUMNS", raising=False)
        patch.setattr(sys, "stdout", screen.stream)
        patch.setattr(sys, "stderr", screen.stream)
        try:
            yield screen
        finally:
            screen.close()


def show(table: RenderableType, columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    with terminal(columns, monkeypatch) as screen:
        output.console_on(sys.stdout).print(table)
    return screen.lines()


def assert_whole(lines: Sequence[str], columns: int, words: Sequence[object]) -> None:
    too_long = [line for line in lines if cell_len(line) > columns]
    assert not too_long, f"longer than {columns} columns: {too_long}"
    for word in map(str, words):
        assert any(word in line for line in lines), f"{word} is cut"


def runs(reports: "Reports", count: int) -> list[RunOfExperiment]:
    measured = reports.evaluation(100).verdict
    verdicts = [measured.model_copy(update={"regime": regime}) for regime in Regime]
    return [
        RunOfExperiment(
            id=uuid4(),
            name="",
            tags={},
            seed=2**32 - 1 - number,
            state=RunState.SUCCEEDED if number else RunState.FAILED,
            reason=None,
            message=None if number else "the disk /a/folder/of/mine is full " * 5,
            reused=bool(number % 2),
            progress=reports.progress(100),
            verdict=verdicts[number % len(verdicts)],
            settled=bool(number % 3),
            of_earlier_version=[],
            links={"mlflow": LINK},
        )
        for number in range(count)
    ]
