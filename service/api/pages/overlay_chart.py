"""The bands of several studies as rows over a common axis of weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from polar.records.ranges import StudyRange
from service.api.pages.bands import EdgeBar, edge_bars
from service.api.pages.charts import INSIDE, PLOT, Axis, Bar

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
    #: None before its first completed trials.
    found: StudyRange | None


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
    edges: Sequence[EdgeBar]


@dataclass(frozen=True)
class OverlayChart:
    height: float
    top: float
    bottom: float
    bar: float
    ticks: Sequence[tuple[float, str]]
    rows: Sequence[Row]

    @property
    def has_refuted(self) -> bool:
        return any(edge.kind == "refuted" for row in self.rows for edge in row.edges)


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
    found = bands.found
    return Row(
        study_id=bands.study_id,
        name=_shortened(bands.name),
        words=bands.words,
        top=top + NAME,
        searched=axis.bar(*bands.ends),
        cores=[axis.bar(*each.core) for each in found.intervals if each.core] if found else (),
        edges=edge_bars(axis, bands.ends, found) if found else (),
    )


def _shortened(name: str) -> str:
    return name if len(name) <= MOST_CHARACTERS else f"{name[: MOST_CHARACTERS - 1]}…"
