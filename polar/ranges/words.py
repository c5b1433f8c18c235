"""What a range says to people: its headline, and what else a researcher should know."""

from collections.abc import Iterator

from polar.ranges.edges import is_known, next_to
from polar.ranges.level import Level
from polar.ranges.votes import Side
from polar.records.better_solutions import better_known_from
from polar.records.certificates import (
    NO_CERTIFICATES,
    Certificates,
    EdgeCertificate,
    Standing,
    is_refuted,
)
from polar.records.ranges import Edge, Interval, RangeReport

#: Why a left edge may go on moving.
NO_LIMIT = (
    "A left edge that moves down may have no limit: no theory says at which weight nets stop "
    "giving latents up as training goes on."
)

#: Why an edge may be settled next to which trainings are not.
STOOD_STILL = (
    "An edge is called settled where it stood still while the steps doubled, even if trainings "
    "next to it have not settled."
)

#: What may reach a solution that training from scratch has missed.
MISSED = (
    "Training has missed a better solution beyond an edge. A weight that rises at the start, over "
    "more steps if it rises already (`training.weight_warm_up`), or trainings that go on from "
    "inside the band (`range: {held: true}`) may reach it."
)


def headline_of(report: RangeReport, certificates: Certificates | None = None) -> str:
    """The answer in one sentence: its budget, its seeds, how its edges move, how far it is held.

    Such as `Clean over 3 seeds, with 90 % intervals: left edge 0.12..0.13 at 2,000 steps, moving
    by 1/2.1 per doubling; right edge 18.1..19.9 at 2,000 steps, settled.`

    Args:
        report: The range.
        certificates: What the known models say about its edges. An edge that they refute is not
            claimed: the sentence says up to where training got, and where a better solution is.
    """
    of, at = report.of.capitalize(), f"at {report.steps:,} steps"
    if report.overruled:
        return f"No {report.of} band {at}: {_overruled(report)}."
    if report.envelope is None and not report.weights:
        return f"No training has a verdict {at}{_silent(report)}."
    if report.envelope is None and report.weights == 1:
        return f"The one tested weight is not {report.of} {at}, {_seeds(report)}{_silent(report)}."
    if report.envelope is None:
        tested = _count(report.weights, "tested weight")
        return f"{of} at none of {tested} {at}, {_seeds(report)}{_silent(report)}."
    known = certificates or NO_CERTIFICATES
    left = _edge_words("left", report.envelope.left, known.left, known.models, report)
    right = _edge_words("right", report.envelope.right, known.right, known.models, report)
    certain = "no weight for certain, because the edges overlap; " * report.envelope.is_overlapping
    return f"{of} {_over(report)}: {certain}{left}; {right}{_held_words(report, known)}."


def _edge_words(
    side: str,
    edge: Edge,
    certificate: EdgeCertificate | None,
    models: int,
    report: RangeReport,
) -> str:
    at = f"at {report.steps:,} steps"
    if is_refuted(certificate):
        if report.envelope and report.envelope.is_overlapping:  # nothing was reached for certain
            certificate = certificate.model_copy(update={"reached": None})
        return f"no {side} edge of the objective {at}: {certificate.words(report.of, models)}"
    standing = ""
    if certificate is not None:
        is_certified = certificate.standing is Standing.CERTIFIED
        standing = ", certified" if is_certified else ", not certified"
    return f"{side} edge {edge.words()} {at}, {edge.movement_words()}{standing}"


def _held_words(report: RangeReport, certificates: Certificates) -> str:
    """How far the band is held, such as `; held from inside down to 0.03..0.05 and up to 26..28`.

    Where no training has left the band, it is held at least as far as it has been followed.
    """
    held = report.held
    if held is None:
        return ""
    down, up = f"down to {held.left.words()}", f"up to {held.right.words()}"
    if held.left.low is None and held.left.high is not None:
        down = f"at least down to {held.left.high:.4g}"
    if held.right.high is None and held.right.low is not None:
        up = f"at least up to {held.right.low:.4g}"
    left, right = better_known_from(report, certificates)
    better = []
    if left is not None:
        down = f"down to above {left:.4g}"
        better.append(f"from {left:.4g} down")
    if right is not None:
        up = f"up to below {right:.4g}"
        better.append(f"from {right:.4g} up")
    known = f"; {' and '.join(better)} a better solution is known" if better else ""
    return f"; held from inside {down} and {up}{known}"


def _over(report: RangeReport) -> str:
    return _seeds(report) + (", with 90 % intervals" if len(report.seeds) > 1 else "")


def _seeds(report: RangeReport) -> str:
    if len(report.seeds) == 1:
        return f"for seed {report.seeds[0]} alone"
    return f"over {len(report.seeds)} seeds"


def _silent(report: RangeReport) -> str:
    """How many trainings say nothing at the budget, and why."""
    parts = []
    if report.untrained:
        parts.append(f"{_count(report.untrained, 'training')} had not begun to learn")
    if report.unmade:
        has = "has" if report.unmade == 1 else "have"
        parts.append(f"{_count(report.unmade, 'training')} {has} made fewer steps")
    return f"; {' and '.join(parts)}" if parts else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def remarks_on(report: RangeReport, level: Level) -> Iterator[str]:
    """What a researcher should know besides the headline, in sentences."""
    if report.envelope is None:
        yield from _why_no_band(report, level)
    else:
        yield from _about_edges(report.envelope, level)
        yield from _settled_before(report.envelope, level)
        if report.held:
            yield from _about_edges(report.held, level, "held ")
            yield from _hysteresis(report.envelope, report.held, report.of)
    if report.untrained:
        yield (
            f"{_count(report.untrained, 'training')} had not begun to learn after "
            f"{level.budget:,} steps and said nothing: more steps are needed there."
        )
    going_on = level.search.steps
    if level.budget < going_on:
        waiting = sum(training.at(going_on) is None for training in level.trainings)
        yield (
            f"The study trains on to {going_on:,} steps: "
            f"{waiting} of {_count(report.trainings, 'training')} have no verdict there yet."
        )
    if len(report.intervals) > 1:
        yield f"The band is {len(report.intervals)} intervals with gaps between them."
    if report.disagreeing:
        weights = ", ".join(f"{weight:.4g}" for weight in report.disagreeing)
        yield f"Seeds disagree on the verdict at {weights}."
    inside = sorted({vote.seed for vote in level.votes if vote.side is Side.INSIDE})
    if report.envelope and len(inside) < len(report.seeds):
        seeds = f"seed{'s' * (len(inside) != 1)} {', '.join(map(str, inside))}"
        have = f"{'has' if len(inside) == 1 else 'have'} had {report.of} trainings"
        yield f"So far {seeds} alone, of {len(report.seeds)} seeds, {have}."
    if report.envelope and len(report.seeds) == 1:
        yield (
            f"Seed {report.seeds[0]} was the only one: its intervals lie between the weights that "
            "were tested, and say nothing of other seeds."
        )
    if report.settled is False:
        yield "Trainings next to an edge have not settled: more steps may move it."
        if report.envelope and _stands_still(report.envelope):
            yield STOOD_STILL
    left = report.envelope and report.envelope.left.movement
    if left and left.is_settled is False and left.factor is not None and left.factor < 1:
        yield NO_LIMIT


def remarks_on_certificates(certificates: Certificates) -> Iterator[str]:
    """What a researcher can do where training has missed a better solution, in sentences."""
    edges = (certificates.left, certificates.right)
    if any(edge is not None and edge.standing is Standing.NOT_OPTIMAL for edge in edges):
        yield MISSED


def _why_no_band(report: RangeReport, level: Level) -> Iterator[str]:
    if not report.trainings:
        yield "No band found: nothing has been tested."
        return
    if not report.weights:
        yield f"No band found: no training has a verdict at {level.budget:,} steps."
        return
    weights = [vote.weight for vote in level.votes]
    first, last = f"{min(weights):.4g}", f"{max(weights):.4g}"
    span = first if report.weights == 1 else f"{first} to {last}"
    tested = f"{_count(report.weights, 'tested weight')}, {span}"
    if report.overruled:
        yield f"No band found in {tested}: {_overruled(report)}."
    elif report.weights == 1:
        yield f"No band found: the one tested weight, {first}, is not {report.of}."
    else:
        yield f"No band found: none of {tested}, is {report.of}."
    left = [vote.weight for vote in level.votes if vote.side is Side.LEFT]
    right = [vote.weight for vote in level.votes if vote.side is Side.RIGHT]
    place = Edge(low=max(left, default=None), high=min(right, default=None), confidence=None)
    yield f"A band could still lie here: {place.words()}."


def _overruled(report: RangeReport) -> str:
    are, them = ("is", "it") if report.overruled == 1 else ("are", "them")
    trainings = _count(report.trainings, "training")
    return f"{report.overruled} of {trainings} {are} {report.of}, and others contradict {them}"


def _hysteresis(envelope: Interval, held: Interval, of: str) -> Iterator[str]:
    """What it means where a held edge lies beyond its edge from scratch, intervals apart."""
    sides = (("left", envelope.left, held.left), ("right", envelope.right, held.right))
    for side, from_scratch, from_inside in sides:
        edges = (from_inside, from_scratch) if side == "left" else (from_scratch, from_inside)
        end, begin = edges[0].high, edges[1].low
        if end is not None and begin is not None and end < begin:
            yield (
                f"The {side} edge has hysteresis: it lies at {from_scratch.words()} from scratch "
                f"and at {from_inside.words()} from inside the band, so that between them it "
                f"depends on the start of a training whether its end is {of}."
            )


def _stands_still(envelope: Interval) -> bool:
    movements = (envelope.left.movement, envelope.right.movement)
    return any(movement is not None and bool(movement.is_settled) for movement in movements)


def _settled_before(envelope: Interval, level: Level) -> Iterator[str]:
    """How many trainings next to each edge have not made the steps of the budget."""
    known = [each for each in level.trainings if each.at(level.budget) is not None]
    for side, edge in (("left", envelope.left), ("right", envelope.right)):
        near = next_to(edge, known)
        before = sum(training.steps < level.budget for training in near)
        if before:
            yield (
                f"{before} of {_count(len(near), 'training')} next to the {side} edge settled "
                f"before {level.budget:,} steps: their verdicts are taken to hold."
            )


def _about_edges(envelope: Interval, level: Level, kind: str = "") -> Iterator[str]:
    for side, edge in ((f"{kind}left", envelope.left), (f"{kind}right", envelope.right)):
        if edge.low is None or edge.high is None:
            yield f"The {side} edge is open: it lies {edge.words()}."
        elif not level.search.is_fine(edge.low, edge.high):
            yield _coarse(side, edge, edge.high / edge.low, level)


def _coarse(side: str, edge: Edge, factor: float, level: Level) -> str:
    known = f"The {side} edge is known within a factor {factor:.3g} ({edge.words()})"
    if is_known(edge, level.search):
        return f"{known}, no finer because seeds differ around it."
    return f"{known}; wanted: {level.search.factor:g}."
