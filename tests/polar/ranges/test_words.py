"""The headline with certificates."""

import pytest

from polar.ranges.words import headline_of
from polar.records.certificates import Certificates, EdgeCertificate, Standing, Trained
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


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (Standing.CERTIFIED, "right edge 5..5.4 at 2,000 steps, certified."),
        (Standing.UNDECIDED, "right edge 5..5.4 at 2,000 steps, not certified."),
        (
            Standing.NOT_OPTIMAL,
            "no right edge of the objective at 2,000 steps: reached from scratch up to 5; a "
            "better, clean solution exists up to 15.",
        ),
    ],
)
def test_the_headline_says_whether_an_edge_is_certified(standing: Standing, said: str) -> None:
    refuted = standing is Standing.NOT_OPTIMAL
    right = EdgeCertificate(
        side="right",
        standing=standing,
        reached=5.0,
        beyond=5.4,
        exists_to=15.0 if refuted else None,
        by=Trained(weight=5.0, seed=0, steps=2000) if refuted else None,
    )
    known = Certificates(not_optimal=(), left=None, right=right, models=6)
    headline = headline_of(REPORT, known)
    assert headline == (f"Clean for seed 0 alone: left edge 0.1..0.11 at 2,000 steps; {said}")
