"""Axes of the charts that pages show, in the units of their drawing.

Upwards a unit is a pixel. Across, a plot is as wide as its window allows, and has `PLOT` units.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

#: Width of every plot; templates turn it into percent.
PLOT = 1000.0
#: Room beside the ends of a search, so that marks on them lie inside of the frame.
INSIDE = 20.0


def across(units: float) -> str:
    """A place or a width in a plot, such as `12.5%`."""
    return f"{100 * units / PLOT:.6g}%"


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`, which lie at `begin` and `end` in the drawing."""

    low: float
    high: float
    begin: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """The place of a value in the drawing, to a tenth; values beyond an end lie at the end."""
        low, high, value = map(self._scaled, (self.low, self.high, value))
        share = 0.5 if high == low else min(1.0, max(0.0, (value - low) / (high - low)))
        return round(self.begin + share * (self.end - self.begin), 1)

    def stretch(self, low: float, high: float) -> tuple[float, float]:
        """Where the values between these two begin in the drawing, and their width there."""
        begin, end = self.at(low), self.at(high)
        return begin, round(max(1.0, end - begin), 1)

    def ticks(self, most: int = 7) -> list[tuple[float, str]]:
        """Places and labels of round values, of which there are at most about `most`."""
        values = self._round_log() if self.is_log else self._round_linear(most)
        return [(self.at(value), f"{value:,.6g}") for value in values]

    def _scaled(self, value: float) -> float:
        return math.log(max(value, self.low)) if self.is_log else value

    def _round_log(self) -> Iterator[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        digits = (1, 2, 5) if last - first <= 2 else (1,)
        for power in range(first, last + 1):
            for digit in digits:
                if self.low <= (value := digit * 10.0**power) * (1 + 1e-9) <= self.high * 1.000001:
                    yield value

    def _round_linear(self, most: int) -> Iterator[float]:
        if self.high == self.low:
            yield self.low
            return
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(
            digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * (1 - 1e-9)
        )
        for count in range(
            math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1
        ):
            yield count * step
