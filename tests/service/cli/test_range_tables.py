"""Ranges in words and as tables, from the reports that studies store."""

import io

import pytest
from rich.console import Console

from polar.ranges import Search, find_range
from polar.records.certificates import (
    Certificates,
    EdgeCertificate,
    NotOptimal,
    Standing,
    Trained,
)
from polar.records.latents import Regime
from polar.records.ranges import Edge, Observation, Outcome, Snapshot, StudyRange
from service.cli.range_tables import BUDGET_HEAD, in_words, of_range

REGIMES = {"u": Regime.UNDER_REGULARISED, "p": Regime.CLEAN, "c": Regime.COLLAPSED}


def found(tested: str, *, trajectory: tuple[Snapshot, ...] = ()) -> StudyRange:
    """The range after these tests: `0.3 u, 1 pp` has one seed at 0.3 and two at 1."""
    seen = [one.split() for one in tested.split(", ")] if tested else []
    seeds = max([len(verdicts) for _, verdicts in seen], default=1)
    history = [
        Observation(
            weight=float(weight),
            seed=seed,
            steps=2000,
            regime=REGIMES[one],
            settled=True,
            trajectory=trajectory,
        )
        for weight, verdicts in seen
        for seed, one in enumerate(verdicts)
    ]
    search = Search(low=0.01, high=100, steps=2000, seeds=tuple(range(seeds)))
    return StudyRange(**find_range(history, search).model_dump(), fields=("model.beta",))


def shown(found: StudyRange) -> str:
    text = io.StringIO()
    Console(file=text, width=200, markup=False, highlight=False).print(of_range(found))
    return text.getvalue()


@pytest.mark.parametrize(
    ("tested", "also"),
    [
        ("0.3 u, 0.32 p, 1 p, 7 p, 7.5 c", ""),
        ("0.1 u, 1 p, 7 p, 7.5 c", " Edges are not as close as wanted yet."),
        ("0.01 p, 1 p, 7 p, 7.5 c", " The band is open at an end of the search."),
        ("0.01 u, 1 u, 10 c, 100 c", ""),
    ],
)
def test_a_range_is_its_headline_and_what_the_search_still_lacks(tested: str, also: str) -> None:
    range = found(tested)

    assert in_words(range) == range.headline + also


def test_the_tables_have_every_edge_and_what_the_interval_of_a_single_seed_is() -> None:
    range = found("0.3 u, 0.32 p, 1 p, 7 p, 7.5 c")

    rows = [line.split() for line in shown(range).splitlines()]
    assert ["envelope", "left", "0.3..0.32", "one", "seed"] in [row[:5] for row in rows]
    assert ["envelope", "right", "7..7.5", "one", "seed"] in [row[:5] for row in rows]


def test_the_numbers_of_what_was_tested_are_those_of_trainings_from_scratch() -> None:
    range = found("0.3 u, 0.32 p, 1 p, 7 p, 7.5 c")

    assert "5 weights, 5 trainings from scratch" in shown(range)


def test_seeds_give_edges_a_confidence() -> None:
    range = found("0.2 uuu, 0.3 uuu, 0.32 ppp, 1 ppp, 7 ppp, 7.5 ccc, 9 ccc")

    assert range.envelope is not None
    assert range.envelope.left.confidence is not None
    rows = [line.split() for line in shown(range).splitlines()]
    left = next(row for row in rows if row[:2] == ["envelope", "left"])
    assert " ".join(left[3:7]) == "90 % over seeds"


def test_the_edges_at_each_budget_are_a_table_of_their_own() -> None:
    early = Snapshot(steps=1000, regime=Regime.UNDER_REGULARISED)
    range = found("0.3 u, 0.32 p, 7 p, 7.5 c", trajectory=(early,))

    lines = shown(range).splitlines()
    assert any(line.split()[:4] == ["1,000", "4", "no", "band"] for line in lines)
    assert any(line.split() == ["2,000", "4", "0.3..0.32", "7..7.5"] for line in lines)


def test_numbers_of_steps_at_which_the_same_was_found_share_a_row() -> None:
    early = tuple(
        Snapshot(steps=steps, regime=Regime.UNDER_REGULARISED) for steps in (10, 500, 1000)
    )
    range = found("0.3 u, 0.32 p, 7 p, 7.5 c", trajectory=early)

    rows = [" ".join(line.split()) for line in shown(range).splitlines()]
    head = rows.index(" ".join(BUDGET_HEAD))
    assert rows[head + 1 : head + 3] == ["10 to 1,000 4 no band", "2,000 4 0.3..0.32 7..7.5"]


def test_a_single_training_is_counted_in_the_singular() -> None:
    assert "1 weight, 1 training from scratch" in shown(found("1 p"))


#: A certificate that refutes a right edge at 7 to 7.5.
REFUTED = EdgeCertificate(
    side="right",
    standing=Standing.NOT_OPTIMAL,
    reached=7.0,
    beyond=7.5,
    exists_from=7.5,
    exists_to=21.0,
    by=Trained(weight=7.0, seed=0, steps=2000),
)


def test_an_edge_that_another_model_refutes_is_said_to_be() -> None:
    certificates = Certificates(not_optimal=(), left=None, right=REFUTED, models=4)
    range = found("0.3 u, 0.32 p, 7 p, 7.5 c").model_copy(update={"certificates": certificates})

    assert REFUTED.words("clean", 4) in " ".join(shown(range).split())
    rows = [line.split() for line in shown(range).splitlines()]
    assert ["envelope", "right", "refuted"] in rows
    assert ["interval", "1", "right", "refuted"] in rows
    assert "7..7.5" not in [word for row in rows if row[:1] == ["envelope"] for word in row]
    left = ["envelope", "left", "0.3..0.32", "one", "seed", "not", "known", "to", "be", "settled"]
    assert left in rows


def test_the_edges_of_gaps_have_no_confidence_and_are_not_said_to_be_of_a_single_seed() -> None:
    range = found("0.1 uuu, 0.2 ppp, 0.5 ppp, 1 ppp, 2 uuu, 4 ppp, 7 ppp, 9 ccc")
    assert [each.right.confidence for each in range.intervals] == [None, 0.9]

    rows = [" ".join(line.split()) for line in shown(range).splitlines()]
    assert "interval 1 right 1..2 not known to be settled" in rows
    assert "interval 2 left 2..4 not known to be settled" in rows
    assert not any("one seed" in row for row in rows)


def test_a_study_without_a_single_swept_field_says_so() -> None:
    words = "a range takes exactly one swept field, on a log_uniform axis"
    update = {"outcome": Outcome.NOT_ONE_FIELD, "headline": words, "envelope": None}
    range = found("").model_copy(update=update)

    assert in_words(range) == words
    assert "not_one_field" in shown(range)
    assert "0 weights" not in shown(range)


def test_held_edges_have_rows_of_their_own() -> None:
    range = found("0.3 u, 0.32 p, 1 p, 7 p, 7.5 c")
    assert range.envelope is not None
    held = range.envelope.model_copy(update={"right": Edge(low=14.0, high=15.0, confidence=None)})

    lines = shown(range.model_copy(update={"held": held})).splitlines()

    rows = [line.split() for line in lines]
    assert ["held", "left", "0.3..0.32", "one", "seed"] in [row[:5] for row in rows]
    assert ["held", "right", "14..15", "one", "seed"] in [row[:5] for row in rows]
    assert not any(line.startswith("held") for line in shown(range).splitlines())


def test_a_held_edge_is_not_refuted_with_an_edge_from_scratch_in_the_same_place() -> None:
    range = found("0.3 u, 0.32 p, 1 p, 7 p, 7.5 c")
    certificates = Certificates(not_optimal=(), left=None, right=REFUTED, models=4)
    held = {"held": range.envelope, "certificates": certificates}

    lines = shown(range.model_copy(update=held)).splitlines()

    rows = [line.split() for line in lines]
    assert ["envelope", "right", "refuted"] in rows
    assert ["held", "right", "7..7.5", "one", "seed"] in [row[:5] for row in rows]


def test_a_band_that_is_held_where_a_better_solution_is_known_is_said_to_be() -> None:
    range = found("0.3 u, 0.32 p, 1 p, 7 p, 7.5 c")
    assert range.envelope is not None
    held = range.envelope.model_copy(update={"right": Edge(low=14.0, high=15.0, confidence=None)})
    model = Trained(weight=12.0, seed=0, steps=2000, warm_start=(7.0,))
    refuted = NotOptimal(model=model, better=None, by_nats=3.0, se_nats=0.5)
    known = Certificates(not_optimal=(refuted,), left=None, right=None, models=6)

    lines = shown(range.model_copy(update={"held": held, "certificates": known})).splitlines()

    (right,) = (line for line in lines if line.split()[:2] == ["held", "right"])
    assert " ".join(right.split()) == "held right a better solution is known from 12 on"


def test_weights_of_several_trainings_that_are_not_optimal_are_named_once() -> None:
    trainings = [
        Trained(weight=weight, seed=seed, steps=2000)
        for weight, seed in ((12.0, 0), (12.0, 1), (3.0, 0))
    ]
    refuted = [NotOptimal(model=each, better=None, by_nats=3.0, se_nats=0.5) for each in trainings]
    known = Certificates(not_optimal=tuple(refuted), left=None, right=None, models=6)

    table = shown(found("0.3 u, 7 p").model_copy(update={"certificates": known}))

    assert "trainings at 12 (2 times), 3" in " ".join(table.split())
