"""Bands and their edges as bars of the charts that show them along the weight."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from statistics import NormalDist
from typing import Literal

from polar.records.edge_rows import facts_of_models, interval_rows
from polar.records.ranges import Edge, EdgeSide, StudyRange
from service.api.pages.charts import Axis, Bar

NORMAL = NormalDist()
#: Pieces of straight lines by which the belief is drawn on each side of its middle.
PARTS = 4
#: A place in the drawing, and the chance that an edge lies before it, so that it has been passed.
Point = tuple[float, float]


@dataclass(frozen=True)
class EdgeBar:
    bar: Bar
    #: `believed` where seeds say how probable each place is, `bracketed` where nothing but two
    #: bounds is known, and `refuted` where the known models say that it is no edge.
    kind: Literal["believed", "bracketed", "refuted"]
    #: The place before which the edge lies with chance 0.5; None unless `believed`.
    middle: float | None


@dataclass(frozen=True)
class Shade:
    """An interval of the band, shaded at each weight by the chance that it is in the band."""

    bar: Bar
    #: Shares of the bar from its beginning, ascending, each with the chance that the weight there
    #: is in the band.
    stops: Sequence[tuple[float, float]]


def edge_bars(axis: Axis, ends: tuple[float, float], found: StudyRange) -> list[EdgeBar]:
    """Where the edges of all intervals lie; open edges reach to the ends of the search."""
    facts = facts_of_models(found)
    bars = []
    for interval, rows in zip(found.intervals, interval_rows(found), strict=True):
        for (side, edge), (_, row) in zip(interval.sides, rows.sides, strict=True):
            is_refuted = found.refutes(side, edge)
            low = ends[0] if edge.low is None else edge.low
            high = ends[1] if edge.high is None else edge.high
            why = facts[f"{side} edge"] if is_refuted else row.confidence
            words = ", ".join(filter(None, (row.place, why)))
            believed = _belief(axis, side, edge, found)
            bars.append(
                EdgeBar(
                    axis.bar(low, high, f"{side} edge: {words}"),
                    "refuted" if is_refuted else "believed" if believed else "bracketed",
                    believed[PARTS][0] if believed else None,
                )
            )
    return bars


def shades(axis: Axis, found: StudyRange) -> Iterator[Shade]:
    """The intervals of the band; none where an interval has no weight that may be shown as in it.

    At an edge without a belief, the shade ends where the band is no longer certain.
    """
    for interval, rows in zip(found.intervals, interval_rows(found), strict=True):
        low = axis.low if interval.left.high is None else interval.left.high
        high = axis.high if interval.right.low is None else interval.right.low
        left = _belief(axis, "left", interval.left, found) or [(axis.at(low), 1.0)]
        right = _belief(axis, "right", interval.right, found) or [(axis.at(high), 0.0)]
        begin, end = left[0][0], right[-1][0]
        if begin < end:
            chances = [(x, passed * (1 - _passed(x, right))) for x, passed in left]
            chances += [(x, _passed(x, left) * (1 - passed)) for x, passed in right]
            words = f"band: left edge {rows.left.place}, right edge {rows.right.place}"
            yield Shade(
                Bar(begin, round(end - begin, 1), words),
                [
                    (round((x - begin) / (end - begin), 5), round(chance, 3))
                    for x, chance in sorted(chances, key=itemgetter(0))
                    if begin <= x <= end
                ],
            )


def _belief(axis: Axis, side: EdgeSide, edge: Edge, found: StudyRange) -> Sequence[Point] | None:
    """The belief about the place of an edge; None if there is none, or the edge is refuted.

    A range stores three quantiles. Between them the belief is taken to be normal on each side of
    its middle, which is nearer to it than straight lines.
    """
    if edge.confidence is None or edge.at is None or edge.low is None or edge.high is None:
        return None
    if found.refutes(side, edge):
        return None
    low, middle, high = map(axis.at, (edge.low, edge.at, edge.high))
    farthest = NORMAL.inv_cdf((1 + edge.confidence) / 2)
    shares = [part / PARTS for part in range(-PARTS, PARTS + 1)]
    return [
        (
            middle + share * (high - middle if share > 0 else middle - low),
            NORMAL.cdf(share * farthest),
        )
        for share in shares
    ]


def _passed(x: float, points: Sequence[Point]) -> float:
    """Chance that an edge lies before a place, on lines between the points that are known."""
    place = bisect_left(points, x, key=itemgetter(0))
    if place == len(points):
        return 1.0
    at, chance = points[place]
    if x == at:
        return chance
    if place == 0:
        return 0.0
    before, least = points[place - 1]
    return least + (chance - least) * (x - before) / (at - before)
