"""The words for what trainings show, for everything that people read.

Nobody knows whether a training has settled where an earlier version judged by a weaker rule.
"""

from collections.abc import Sequence

from polar.records.latents import Flaw, Regime
from polar.records.ranges import NOT_KNOWN_TO_BE_SETTLED

#: Whether a training has settled, as the cell of a table.
SETTLED = {True: "yes", False: "no", None: ""}


def settled_in_words(is_settled: bool | None) -> str:
    """Whether a training has settled, within a sentence."""
    if is_settled is None:
        return NOT_KNOWN_TO_BE_SETTLED
    return "settled" if is_settled else "not settled"


def regime_in_words(regime: Regime, flaws: Sequence[Flaw]) -> str:
    """The regime with its flaws, such as `forming (idle, leak)`."""
    return f"{regime} ({', '.join(flaws)})" if flaws else str(regime)
