"""The headline with certificates."""

import pytest

from polar.ranges.words import headline_of, remarks_on_certificates
from polar.records.certificates import (
    Certificates,
    EdgeCertificate,
    NotOptimal,
    Standing,
    Trained,
)
from polar.records.ranges import Edge, Interval, Outcome, RangeReport

ENVELOPE = Interval(
    left=Edge(low=0.1, high=0.11, confidence=None), right=Edge(low=5.0, high=5.4, confidence=None)
)
REPORT = RangeReport(
    outcome=Outcome.FOUND,
    of="clean",
    steps=2000,
    seeds=(0,),
    intervals=(ENVELOPE,),
    envelope=ENVELOPE,
    by_steps=(),
    settled=True,
    disagreeing=(),
    weights=6,
    trainings=6,
    headline="",
    remarks=(),
)


#: Where the best known solution is on the wrong side of the right edge.
STRETCHES = {Standing.NOT_OPTIMAL: (5.4, 15.0), Standing.NOT_OPTIMAL_INSIDE: (4.5, 5.0)}


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (
            Standing.CERTIFIED,
            "right edge 5..5.4 at 2,000 steps, not known to be settled, certified.",
        ),
        (
            Standing.UNDECIDED,
            "right edge 5..5.4 at 2,000 steps, not known to be settled, not certified.",
        ),
        (
            Standing.NOT_OPTIMAL,
            "no right edge of the objective at 2,000 steps: reached from scratch up to 5; a "
            "clean solution is the best of 6 known up to 15.",
        ),
        (
            Standing.NOT_OPTIMAL_INSIDE,
            "no right edge of the objective at 2,000 steps: reached from scratch up to 5 by "
            "training alone: from 4.5 up a better solution is known, which is not clean.",
        ),
    ],
)
def test_the_headline_says_whether_an_edge_is_certified(standing: Standing, said: str) -> None:
    right = EdgeCertificate(
        side="right",
        standing=standing,
        reached=5.0,
        beyond=5.4,
        exists_from=STRETCHES.get(standing, (None, None))[0],
        exists_to=STRETCHES.get(standing, (None, None))[1],
        by=Trained(weight=5.0, seed=0, steps=2000) if standing in STRETCHES else None,
    )
    known = Certificates(not_optimal=(), left=None, right=right, models=6)
    headline = headline_of(REPORT, known)
    assert headline == (
        "Clean for seed 0 alone: left edge 0.1..0.11 at 2,000 steps, not known to be settled; "
        f"{said}"
    )


def refuted(weight: float, *warm_start: float) -> NotOptimal:
    model = Trained(weight=weight, seed=0, steps=2000, warm_start=warm_start)
    return NotOptimal(model=model, better=None, by_nats=3.0, se_nats=0.5)


def test_nothing_was_reached_for_certain_where_the_edges_overlap() -> None:
    overlapping = ENVELOPE.model_copy(update={"left": Edge(low=0.1, high=8.0, confidence=None)})
    report = REPORT.model_copy(update={"envelope": overlapping})
    right = EdgeCertificate(
        side="right",
        standing=Standing.NOT_OPTIMAL,
        reached=5.0,
        beyond=5.4,
        exists_to=15.0,
        by=None,
    )
    known = Certificates(not_optimal=(), left=None, right=right, models=6)

    assert headline_of(report, known) == (
        "Clean for seed 0 alone: no weight for certain, because the edges overlap; left edge "
        "0.1..8 at 2,000 steps, not known to be settled; no right edge of the objective at "
        "2,000 steps: a clean solution is the best of 6 known up to 15."
    )


@pytest.mark.parametrize(
    ("not_optimal", "exists_to", "said"),
    [
        ((), None, "down to 0.03..0.05 and up to 26..28."),
        # trained from scratch, or outside the band
        ((refuted(22.0), refuted(40.0, 5.0)), None, "down to 0.03..0.05 and up to 26..28."),
        (
            (refuted(24.0, 5.0), refuted(22.0, 5.0)),
            None,
            "down to 0.03..0.05 and up to below 22; from 22 up a better solution is known.",
        ),
        # at 22 the better model is inside the band, too
        (
            (refuted(24.0, 5.0), refuted(22.0, 5.0)),
            23.0,
            "down to 0.03..0.05 and up to below 24; from 24 up a better solution is known.",
        ),
        (
            (refuted(0.06, 0.11), refuted(0.07, 0.11)),
            None,
            "down to above 0.07 and up to 26..28; from 0.07 down a better solution is known.",
        ),
        (
            (refuted(0.07, 0.11), refuted(22.0, 5.0)),
            None,
            "down to above 0.07 and up to below 22; from 0.07 down and from 22 up a better "
            "solution is known.",
        ),
    ],
)
def test_a_band_is_not_held_where_a_better_solution_is_known(
    not_optimal: tuple[NotOptimal, ...], exists_to: float | None, said: str
) -> None:
    held = Interval(
        left=Edge(low=0.03, high=0.05, confidence=None),
        right=Edge(low=26.0, high=28.0, confidence=None),
    )
    right = EdgeCertificate(
        side="right",
        standing=Standing.UNDECIDED if exists_to is None else Standing.NOT_OPTIMAL,
        reached=5.0,
        beyond=5.4,
        exists_from=None if exists_to is None else 5.4,
        exists_to=exists_to,
        by=None if exists_to is None else Trained(weight=5.0, seed=0, steps=2000),
    )
    known = Certificates(not_optimal=not_optimal, left=None, right=right, models=9)

    headline = headline_of(REPORT.model_copy(update={"held": held}), known)

    assert headline.endswith(f"; held from inside {said}")


def test_a_band_is_held_up_to_where_a_better_solution_is_known_before_its_edge_from_scratch() -> (
    None
):
    held = ENVELOPE.model_copy(update={"right": Edge(low=26.0, high=28.0, confidence=None)})
    right = EdgeCertificate(
        side="right",
        standing=Standing.NOT_OPTIMAL_INSIDE,
        reached=5.0,
        beyond=5.4,
        exists_from=4.5,
        exists_to=5.0,
        by=None,
    )
    known = Certificates(not_optimal=(refuted(24.0, 5.0),), left=None, right=right, models=9)

    headline = headline_of(REPORT.model_copy(update={"held": held}), known)

    assert headline.endswith("up to below 4.5; from 4.5 up a better solution is known.")


@pytest.mark.parametrize(
    ("standing", "has_advice"),
    [(Standing.NOT_OPTIMAL, True), (Standing.NOT_OPTIMAL_INSIDE, False)],
)
def test_only_where_training_missed_a_better_solution_is_there_advice_how_to_reach_it(
    standing: Standing, has_advice: bool
) -> None:
    begin, end = STRETCHES[standing]
    right = EdgeCertificate(
        side="right",
        standing=standing,
        reached=5.0,
        beyond=5.4,
        exists_from=begin,
        exists_to=end,
        by=None,
    )

    remarks = [
        *remarks_on_certificates(Certificates(not_optimal=(), left=None, right=right, models=9))
    ]

    assert bool(remarks) is has_advice
