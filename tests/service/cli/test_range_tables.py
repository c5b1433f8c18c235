"""Ranges in words and as tables, from the reports that studies store."""

import io
from typing import Any

import pytest
from rich.console import Console

from polar.records.latents import Regime
from polar.records.ranges import SeedOutcome, StudyRange
from polar.spec import StudySpec
from service.cli.range_tables import in_words, of_range
from service.studies.ranges import range_of

REGIMES = {regime[0]: regime for regime in Regime}
BASE = {"dataset": {"name": "digits"}, "model": {}, "training": {"steps": 2000}}


def found(
    tested: str, *, converged: bool | None = True, search: dict[str, Any] | None = None
) -> StudyRange:
    """The range after these tests: `0.3 u, 1 pp` has one seed at 0.3 and two at 1."""
    seen = [one.split() for one in tested.split(", ")] if tested else []
    seeds = max([len(verdicts) for _, verdicts in seen], default=1)
    spec = StudySpec.model_validate(
        {
            "base": {**BASE, "seeds": list(range(seeds))},
            "search": search or {"model.beta": {"log_uniform": [0.01, 100]}},
            "sampler": "random",
            "budget": {"trials": 3},
        }
    )
    trials = [
        (
            {"model.beta": float(weight)},
            [SeedOutcome(regime=REGIMES[one], converged=converged) for one in verdicts],
        )
        for weight, verdicts in seen
    ]
    return range_of(spec, trials)


def shown(found: StudyRange) -> str:
    text = io.StringIO()
    Console(file=text, width=200, markup=False, highlight=False).print(of_range(found))
    return text.getvalue()


@pytest.mark.parametrize(
    ("tested", "words"),
    [
        (
            "0.3 u, 0.32 p, 1 p, 7 p, 7.5 c",
            "polarised from 0.3..0.32 to 7..7.5 (2,000 steps, converged, 1 seed)",
        ),
        (
            "0.1 u, 1 p, 7 p, 7.5 c",
            "polarised from 0.1..1 to 7..7.5 (2,000 steps, converged, 1 seed); "
            "edges not as close as wanted yet",
        ),
        (
            "0.01 p, 1 p, 7 p, 7.5 c",
            "polarised from below 0.01 to 7..7.5 (2,000 steps, converged, 1 seed); "
            "open at an end of the search",
        ),
        (
            "1 u, 1.05 p, 100 p",
            "polarised from 1..1.05 to above 100 (2,000 steps, converged, 1 seed); "
            "open at an end of the search",
        ),
        (
            "1 u, 1.05 p, 2 p, 2.1 c, 4 c, 4.2 p, 6 p, 6.3 c",
            "polarised in 2 intervals from 1..1.05 to 6..6.3 (2,000 steps, converged, 1 seed)",
        ),
        (
            "0.01 u, 1 u, 10 c, 100 c",
            "no band found in 4 weights, 4 trainings (2,000 steps, 1 seed)",
        ),
        ("", "no band found in 0 weights, 0 trainings (2,000 steps, 1 seed)"),
    ],
)
def test_a_range_is_said_on_one_line(tested: str, words: str) -> None:
    assert in_words(found(tested)) == words


@pytest.mark.parametrize(
    ("converged", "word"), [(False, "not converged"), (None, "convergence unknown")]
)
def test_edges_that_may_move_with_more_steps_are_said_to(
    converged: bool | None, word: str
) -> None:
    range = found("0.3 u, 0.32 p, 7 p, 7.5 c", converged=converged)

    assert f"(2,000 steps, {word}, 1 seed)" in in_words(range)


def test_seeds_that_disagree_are_said_with_their_weights() -> None:
    range = found("0.3 uu, 0.32 pp, 1 pu, 7 pp, 7.5 cc")

    assert "2 seeds, seeds disagree at 1)" in in_words(range)
    assert "Seeds disagree on the verdict at 1." in shown(range)


def test_several_swept_fields_have_no_range_and_it_is_said_why() -> None:
    fields = {"log_uniform": [0.001, 0.1]}
    range = found("", search={"model.beta": fields, "training.learning_rate": fields})

    assert in_words(range) == (
        "no range: a range takes exactly one swept field, on a log_uniform axis"
    )
    assert "not_one_field" in shown(range)


def test_the_table_has_every_interval_and_the_envelope_with_confidences() -> None:
    range = found("1 u, 1.05 p, 2 p, 2.1 c, 4 c, 4.2 p, 6 p, 6.3 c")

    lines = [line.split() for line in shown(range).splitlines()]
    rows = {" ".join(line[:-4]): line[-4:] for line in lines}
    assert range.envelope is not None
    assert rows["interval 1"][::2] == ["1..1.05", "2..2.1"]
    assert rows["interval 2"][::2] == ["4..4.2", "6..6.3"]
    assert rows["envelope"] == [
        "1..1.05",
        f"{range.envelope.left.confidence:.2f}",
        "6..6.3",
        f"{range.envelope.right.confidence:.2f}",
    ]
    assert ["tested", "8", "weights,", "8", "trainings"] in lines
    assert "- The band is 2 intervals with gaps between them." in shown(range)
