"""Verdicts as cells of tables."""

from polar.records.latents import Verdict
from polar.records.words import regime_in_words


def regime(verdict: Verdict) -> str:
    """The regime with its flaws, such as `forming (idle, leak)`."""
    return regime_in_words(verdict.regime, verdict.flaws)


def explained(verdict: Verdict) -> str:
    """R with its standard error, such as `0.912 ± 0.004`; empty for bare codes."""
    if verdict.explained is None:
        return ""
    if verdict.explained_se is None:  # of an earlier version
        return f"{verdict.explained:.2f}"
    return f"{verdict.explained:.3f} ± {verdict.explained_se:.3f}"


def active(verdict: Verdict, latents: int | None = None) -> str:
    """The number of active latents, and of the idle among them, such as `5 of 16, 1 idle`."""
    counted = f"{verdict.n_active}" if latents is None else f"{verdict.n_active} of {latents}"
    return f"{counted}, {verdict.n_idle} idle" if verdict.n_idle else counted
