"""The edges of a range as rows of a table, in words for people."""

from collections.abc import Iterator
from dataclasses import dataclass

from polar.records.better_solutions import better_known_from
from polar.records.certificates import NO_CERTIFICATES
from polar.records.ranges import Edge, EdgeSide, Interval, StudyRange


@dataclass(frozen=True)
class EdgeRow:
    """What is known of an edge."""

    #: Where it lies, or why nothing is claimed of it.
    place: str
    #: How certain its place is; empty where nobody knows.
    confidence: str = ""
    movement: str = ""


@dataclass(frozen=True)
class BandRows:
    """Both edges of an interval, of the envelope, or of the held band."""

    name: str
    left: EdgeRow
    right: EdgeRow

    @property
    def sides(self) -> tuple[tuple[EdgeSide, EdgeRow], ...]:
        """Both edges with the words for their sides."""
        return ("left", self.left), ("right", self.right)


def edge_rows(study_range: StudyRange) -> list[BandRows]:
    """All edges: of each interval, of the envelope, and the held edges; none without a band."""
    if study_range.envelope is None:
        return []
    envelope = _claimed("envelope", study_range.envelope, study_range)
    return [*interval_rows(study_range), envelope, *_held(study_range)]


def interval_rows(study_range: StudyRange) -> list[BandRows]:
    """The edges of each interval."""
    return [
        _claimed(f"interval {number}", interval, study_range)
        for number, interval in enumerate(study_range.intervals, start=1)
    ]


def facts_of_models(study_range: StudyRange) -> dict[str, str]:
    """What the known models of the problem say, by what it is about; empty without any."""
    certificates = study_range.certificates
    if certificates is None:
        return {}
    facts = {"models compared": f"{certificates.models:,}"}
    for side, certificate in (("left", certificates.left), ("right", certificates.right)):
        if certificate is not None:
            facts[f"{side} edge"] = certificate.words(study_range.of, certificates.models)
    if refuted := certificates.not_optimal_at():
        facts["not optimal"] = f"trainings at {refuted}"
    return facts


def _claimed(name: str, band: Interval, study_range: StudyRange) -> BandRows:
    """The edges of a band; one that the known models refute has that word in place of weights."""
    left, right = (
        EdgeRow("refuted") if study_range.refutes(side, edge) else _row(edge, study_range)
        for side, edge in band.sides
    )
    return BandRows(name, left, right)


def _held(study_range: StudyRange) -> Iterator[BandRows]:
    held = study_range.held
    if held is not None:
        known = study_range.certificates or NO_CERTIFICATES
        better_from = better_known_from(study_range, known)
        left, right = (
            _row(edge, study_range)
            if weight is None
            else EdgeRow(f"a better solution is known from {weight:.4g} on")
            for (_, edge), weight in zip(held.sides, better_from, strict=True)
        )
        yield BandRows("held", left, right)


def _row(edge: Edge, study_range: StudyRange) -> EdgeRow:
    return EdgeRow(edge.words(), _confidence(edge, study_range), edge.movement_words())


def _confidence(edge: Edge, study_range: StudyRange) -> str:
    if edge.confidence is not None:
        return f"{100 * edge.confidence:.0f} % over seeds"
    return "one seed" if len(study_range.seeds) == 1 else ""
