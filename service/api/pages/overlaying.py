"""What the page that lays several studies over each other shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.ranges import Interval, StudyRange
from service.api.pages.lists import InShort, in_short
from service.api.pages.overlay_chart import Bands, OverlayChart, overlay_chart
from service.api.pages.reliability import verdicts_of
from service.api.pages.rendering import short
from service.api.pages.studies import numeric_ends
from service.api.stored import Reader
from service.storage import studies
from service.storage.errors import EarlierVersion
from service.storage.pages import rows_of
from service.storage.study_tables import Study

#: More rows could not be compared at a glance.
MOST_STUDIES = 16

Side = Literal["left", "right"]


@dataclass(frozen=True)
class LaidStudy:
    study: Study
    name: str
    trains: InShort
    #: The swept field and its ends; None if the study does not sweep a single field above 0.
    axis: tuple[str, float, float] | None
    #: None before its first completed trials.
    found: StudyRange | None
    #: Seeds of all its trainings that began, as the list of studies counts them.
    seeds: int

    @property
    def words(self) -> str:
        """What the study says of its band, in a sentence."""
        if self.axis is None:
            return "it does not sweep a single field of numbers above 0"
        return self.found.headline if self.found else "it has no range yet"


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
            seeds=verdicts[study.id].seeds,
        )
        for study in rows
    ]
    bands = [
        Bands(
            each.study.id,
            each.name,
            each.words,
            each.axis[1:],
            each.found.intervals if each.found else (),
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
    """How the bands of studies agree; nothing for fewer than two bands."""
    with_band = [
        (each.name, each.found.envelope, each.found.intervals)
        for each in laid
        if each.axis is not None and each.found is not None and each.found.envelope is not None
    ]
    if len(with_band) < 2:
        return []
    fields = dict.fromkeys(each.axis[0] for each in laid if each.axis)
    said = []
    if len(fields) > 1:
        several = ", ".join(fields)
        said.append(f"They sweep different fields ({several}), so compare their order at most.")
    envelopes = [(name, envelope) for name, envelope, _ in with_band]
    said.append(_shared([intervals for _, _, intervals in with_band]))
    return [*said, _edges("left", envelopes), _edges("right", envelopes)]


def _shared(bands: Sequence[Sequence[Interval]]) -> str:
    """The weights that are certainly in all bands."""
    shared = [(0.0, math.inf)]
    for intervals in bands:
        cores = [each.core for each in intervals if each.core is not None]
        both = [(max(a, c), min(b, d)) for a, b in shared for c, d in cores]
        shared = [(low, high) for low, high in both if low <= high]
    if not shared:
        return f"No weight is certainly in {_all(bands)} bands."
    words = ", ".join(f"{low:.4g}..{high:.4g}" for low, high in shared)
    return f"In {_all(bands)} bands, wherever exactly their edges lie: {words}."


def _all(bands: Sequence[object]) -> str:
    return "both" if len(bands) == 2 else f"all {len(bands)}"


def _edges(side: Side, bands: Sequence[tuple[str, Interval]]) -> str:
    """Whether an edge may lie at the same weight in all bands."""
    edges = [(name, band.left if side == "left" else band.right) for name, band in bands]
    first = min(edges, key=lambda each: math.inf if each[1].high is None else each[1].high)
    last = max(edges, key=lambda each: -math.inf if each[1].low is None else each[1].low)
    ends = last[1].low, first[1].high
    if ends[0] is None or ends[1] is None or ends[0] <= ends[1]:
        return f"The {side} edges may lie at the same weight, as far as they are known."
    return (
        f"The {side} edges differ: {first[1].words()} in {first[0]}, and "
        f"{last[1].words()} in {last[0]}."
    )
