"""The words for what trainings show, which command line, pages and MLflow share."""

import pytest

from polar.records.latents import Flaw, Regime
from polar.records.words import SETTLED, regime_in_words, settled_in_words


@pytest.mark.parametrize(
    ("is_settled", "cell", "words"),
    [
        (True, "yes", "settled"),
        (False, "no", "not settled"),
        (None, "", "not known to be settled"),
    ],
)
def test_whether_a_training_has_settled(is_settled: bool | None, cell: str, words: str) -> None:
    assert SETTLED[is_settled] == cell
    assert settled_in_words(is_settled) == words


def test_a_regime_has_its_flaws_beside_it() -> None:
    assert regime_in_words(Regime.CLEAN, ()) == "clean"
    assert regime_in_words(Regime.FORMING, (Flaw.IDLE, Flaw.LEAK)) == "forming (idle, leak)"
