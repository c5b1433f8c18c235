"""What the page that lays several studies over each other shows."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.edge_rows import interval_rows
from polar.records.ranges import EdgeSide, Interval, StudyRange
from service.api.pages.lists import InShort, in_short
from service.api.pages.overlay_chart import Bands, OverlayChart, overlay_chart
from service.api.pages.reliability import verdicts_of
from service.api.pages.rendering import short
from service.api.pages.studies import numeric_ends
from service.api.stored import Reader
from service.storage import studies
from service.storage.errors import EarlierVersion
from service.storage.pages import rows_of
from service.storage.states import StudyState
from service.storage.study_tables import Study

#: More rows could not be compared at a glance.
MOST_STUDIES = 16


@dataclass(frozen=True)
class LaidBand:
    """What is known of both edges of an interval, in words."""

    left: str
    right: str
    confidence: str
    movement: str


@dataclass(frozen=True)
class LaidStudy:
    study: Study
    name: str
    trains: InShort
    #: The swept field and its ends; None if the study does not sweep a single field above 0.
    axis: tuple[str, float, float] | None
    #: None before its first completed trials.
    found: StudyRange | None
    #: Seeds of all its trainings that began, as the list of studies counts them; None before
    #: one of them has ended.
    seeds: int | None

    @property
    def envelope(self) -> Interval | None:
        """The whole band; None without one that lies on the common axis."""
        return self.found.envelope if self.axis is not None and self.found is not None else None

    @property
    def words(self) -> str:
        """What the study says of its band, in a sentence."""
        if self.axis is None:
            return "it does not sweep a single field of numbers above 0"
        return self.found.headline if self.found else "it has no range yet"

    @property
    def bands(self) -> Sequence[LaidBand]:
        rows = interval_rows(self.found) if self.found else ()
        return [
            LaidBand(
                left=row.left.place,
                right=row.right.place,
                confidence=_of_both(row.left.confidence, row.right.confidence),
                movement=_of_both(row.left.movement, row.right.movement),
            )
            for row in rows
        ]


@dataclass(frozen=True)
class Overlay:
    studies: Sequence[LaidStudy]
    #: How the bands agree, in sentences.
    agreement: Sequence[str]
    #: None if none of them sweeps a single field of numbers.
    chart: OverlayChart | None


async def overlay(session: AsyncSession, study_ids: Sequence[UUID]) -> Overlay:
    """Lay studies over each other, in the order of their ids.

    Raises:
        NotFound: there is no such study.
    """
    rows = await rows_of(session, Study, list(dict.fromkeys(study_ids)))
    ids = [study.id for study in rows]
    trains = await in_short(session, Study, ids)
    verdicts = await verdicts_of(session, await studies.states_of_trials(session, ids))
    laid = [
        LaidStudy(
            study=study,
            name=study.name or f"study {short(study.id)}",
            trains=trains[study.id],
            axis=_axis(study),
            found=Reader().readable("range", study.range),
            seeds=verdicts[study.id].seeds if verdicts[study.id].ended else None,
        )
        for study in rows
    ]
    bands = [
        Bands(
            each.study.id,
            each.name,
            each.words,
            each.axis[1:],
            each.found,
        )
        for each in laid
        if each.axis is not None
    ]
    return Overlay(laid, agreement(laid), overlay_chart(bands) if bands else None)


def _axis(study: Study) -> tuple[str, float, float] | None:
    try:
        ends = numeric_ends(studies.spec_of(study))
    except EarlierVersion:
        return None
    return ends if ends is not None and ends[1] > 0 else None


def agreement(laid: Sequence[LaidStudy]) -> list[str]:
    """Which studies have no band, and how the bands of the others agree."""
    with_band = [
        (each.name, each.found)
        for each in laid
        if each.found is not None and each.envelope is not None
    ]
    said = list(_without_band([each for each in laid if each.envelope is None]))
    if len(with_band) < 2:
        return said
    fields = dict.fromkeys(each.axis[0] for each in laid if each.axis)
    if len(fields) > 1:
        several = ", ".join(fields)
        said.append(f"They sweep different fields ({several}), so compare their order at most.")
    count = "both" if len(with_band) == 2 else f"all {len(with_band)}"
    bands = f"{count} bands" if len(with_band) == len(laid) else f"{count} bands that there are"
    said.append(_shared(bands, [found.intervals for _, found in with_band]))
    return [*said, *_edges("left", with_band), *_edges("right", with_band)]


def _without_band(laid: Sequence[LaidStudy]) -> Iterator[str]:
    """Which of these studies may still find a band, and which will not."""
    goes_on = (StudyState.RUNNING, StudyState.PAUSED)
    yet = [each.name for each in laid if each.axis and each.study.state in goes_on]
    never = [each.name for each in laid if not (each.axis and each.study.state in goes_on)]
    for names, band in ((yet, "no band yet"), (never, "no band")):
        if names:
            *others, last = names
            listed = f"{', '.join(others)} and {last}" if others else last
            yield f"{listed} {'have' if others else 'has'} {band}."


def _shared(named: str, bands: Sequence[Sequence[Interval]]) -> str:
    """The weights that are certainly in all bands, which are named so."""
    shared = [(0.0, math.inf)]
    for intervals in bands:
        cores = [each.core for each in intervals if each.core is not None]
        both = [(max(a, c), min(b, d)) for a, b in shared for c, d in cores]
        shared = [(low, high) for low, high in both if low <= high]
    if not shared:
        return f"No weight is certainly in {named}."
    words = ", ".join(f"{low:.4g}..{high:.4g}" for low, high in shared)
    return f"In {named}, wherever exactly their edges lie: {words}."


def _edges(side: EdgeSide, bands: Sequence[tuple[str, StudyRange]]) -> Iterator[str]:
    """Whether an edge may lie at the same weight in all bands where it is not refuted."""
    edges = []
    for name, found in bands:
        if found.envelope is None:
            continue
        edge = found.envelope.left if side == "left" else found.envelope.right
        if found.refutes(side, edge):
            yield f"{name} has no {side} edge of the objective: known models refute it."
        else:
            edges.append((name, edge))
    if len(edges) < 2:
        return
    first = min(edges, key=lambda each: math.inf if each[1].high is None else each[1].high)
    last = max(edges, key=lambda each: -math.inf if each[1].low is None else each[1].low)
    ends = last[1].low, first[1].high
    if ends[0] is None or ends[1] is None or ends[0] <= ends[1]:
        yield f"The {side} edges may lie at the same weight, as far as they are known."
    else:
        yield (
            f"The {side} edges differ: {first[1].words()} in {first[0]}, and "
            f"{last[1].words()} in {last[0]}."
        )


def _of_both(left: str, right: str) -> str:
    """What is said of both edges: once if it is the same, nothing of an edge without words."""
    if left == right:
        return left
    return "; ".join(f"{side} {said}" for side, said in (("left", left), ("right", right)) if said)
