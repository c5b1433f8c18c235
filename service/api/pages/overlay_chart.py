"""The bands of several studies as rows over a common axis of weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from polar.records.ranges import Edge, Interval
from service.api.pages.charts import INSIDE, PLOT, Axis

TOP, BOTTOM = 4.0, 44.0
#: Heights of a row, of the name at its top, and of the bar below the name.
ROW, NAME, BAR = 52.0, 22.0, 18.0
#: Characters of a name for which there is room on a telephone.
MOST_CHARACTERS = 36


@dataclass(frozen=True)
class Bands:
    """What a study says of its band."""

    study_id: UUID
    name: str
    words: str
    #: Both ends of its search.
    ends: tuple[float, float]
    intervals: Sequence[Interval]


@dataclass(frozen=True)
class Bar:
    x: float
    width: float


@dataclass(frozen=True)
class Row:
    study_id: UUID
    name: str
    words: str
    top: float
    #: The weights that the study searches.
    searched: Bar
    #: The weights that are in the band wherever exactly its edges lie.
    cores: Sequence[Bar]
    #: Where the edges lie.
    edges: Sequence[Bar]


@dataclass(frozen=True)
class OverlayChart:
    height: float
    top: float
    bottom: float
    bar: float
    ticks: Sequence[tuple[float, str]]
    rows: Sequence[Row]


def overlay_chart(bands: Sequence[Bands]) -> OverlayChart:
    """Lay out the bands of studies, at least one, all of whose weights are above 0."""
    low, high = min(each.ends[0] for each in bands), max(each.ends[1] for each in bands)
    axis = Axis(low, high, INSIDE, PLOT - INSIDE, is_log=True)
    bottom = TOP + ROW * len(bands)
    return OverlayChart(
        height=bottom + BOTTOM,
        top=TOP,
        bottom=bottom,
        bar=BAR,
        ticks=axis.ticks(),
        rows=[_row(axis, each, TOP + ROW * place) for place, each in enumerate(bands)],
    )


def _row(axis: Axis, bands: Bands, top: float) -> Row:
    return Row(
        study_id=bands.study_id,
        name=_shortened(bands.name),
        words=bands.words,
        top=top + NAME,
        searched=Bar(*axis.stretch(*bands.ends)),
        cores=[Bar(*axis.stretch(*each.core)) for each in bands.intervals if each.core],
        edges=[
            _edge(axis, bands.ends, edge)
            for each in bands.intervals
            for edge in (each.left, each.right)
        ],
    )


def _edge(axis: Axis, ends: tuple[float, float], edge: Edge) -> Bar:
    low = ends[0] if edge.low is None else edge.low
    high = ends[1] if edge.high is None else edge.high
    return Bar(*axis.stretch(low, high))


def _shortened(name: str) -> str:
    return name if len(name) <= MOST_CHARACTERS else f"{name[: MOST_CHARACTERS - 1]}…"
