"""What `polar doctor` finds: one check a row, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


class Level(StrEnum):
    OK = "ok"
    #: It works, and somebody should know or do something.
    WARNING = "warning"
    #: Something does not work, or two stores disagree.
    FAULT = "fault"


@dataclass(frozen=True)
class Check:
    """What was looked at, and how it is."""

    name: str
    level: Level
    says: str
    #: What to do; empty where nothing is to be done.
    do: str = ""


def ok(name: str, says: str) -> Check:
    return Check(name, Level.OK, says)


def warning(name: str, says: str, do: str) -> Check:
    return Check(name, Level.WARNING, says, do)


def fault(name: str, says: str, do: str) -> Check:
    return Check(name, Level.FAULT, says, do)


def table(checks: Sequence[Check]) -> "RenderableType":
    from service.cli.rows import Rows

    rows = Rows("check", "level", "finding", "what to do", texts=("finding", "what to do"))
    for check in checks:
        rows.add(check.name, check.level, check.says, check.do)
    return rows
