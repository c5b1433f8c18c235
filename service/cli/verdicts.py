"""Verdicts as cells of tables."""

from polar.records.latents import Verdict

#: The words for whether a training has settled. Nothing is said where an earlier version judged by
#: a weaker rule, because nobody knows whether the run would have settled by the present rule.
SETTLED = {True: "yes", False: "no", None: ""}


def regime(verdict: Verdict) -> str:
    """The regime with its flaws, such as `forming (idle, leak)`."""
    return f"{verdict.regime} ({', '.join(verdict.flaws)})" if verdict.flaws else verdict.regime


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
