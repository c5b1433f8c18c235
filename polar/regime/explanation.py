"""A verdict in words: why the regime is what it is, and what could still change it."""

import math
from collections.abc import Iterator, Sequence
from typing import assert_never

from polar.records.events import Evaluation
from polar.records.latents import Flaw, LatentDiagnostics, Regime, Verdict
from polar.regime.codes import ROUNDING
from polar.regime.decoding import EXPLAINS_FROM
from polar.regime.settling import SETTLED_CHANGE, SETTLED_NATS, Settling
from polar.regime.verdict import (
    LEAST_GAP,
    POLARISED_FROM,
    SUFFICIENT_FROM,
    entropies_by_label,
)
from polar.regime.words import beside, count_latents

#: The R below which a training has diverged. Chosen by us, because R begins near -2, and even a
#: decoder that draws black images where the dataset's are white stays far above.
DIVERGED_BELOW = -100.0
#: What may help where training itself has failed.
REMEDY = (
    "A smaller learning rate, or a weight that rises more slowly (`training.weight_warm_up`), may "
    "help."
)


def explain(final: Evaluation, settling: Settling, steps: int) -> str:
    """Why the verdict is what it is, in one paragraph for a researcher.

    Args:
        final: The last evaluation.
        settling: What still moved before the last evaluation.
        steps: Training steps of the whole run.
    """
    has_failed = _has_diverged(final.verdict) or _has_died(final.latents, final.verdict)
    sentences = (
        explain_regime(final.latents, final.verdict),
        _about_the_budget(settling, steps, has_failed=has_failed),
    )
    return " ".join(sentences)


def explain_regime(latents: Sequence[LatentDiagnostics], verdict: Verdict) -> str:
    """Why the regime is what it is, in a few sentences.

    Args:
        latents: All latents of one evaluation, with their labels.
        verdict: The verdict on them.
    """
    regime = verdict.regime.replace("_", "-").capitalize()
    sentences = (
        f"{regime}: {_count(latents, verdict)}.",
        *_about_the_decoder(verdict),
        *_about_a_failure(latents, verdict),
        *_about_the_flaws(latents, verdict),
        _about_polarisation(verdict),
    )
    return " ".join(sentences)


def _count(latents: Sequence[LatentDiagnostics], verdict: Verdict) -> str:
    tau = verdict.tau_nats
    actives, passives = entropies_by_label(latents)
    parts = [
        f"{len(actives)} of {count_latents(len(latents))} {_are(len(actives))} active "
        f"(entropy above tau = {tau:.4g} nats) and {len(passives)} passive"
    ]
    if actives:
        parts.append(f"the weakest active has {beside(tau, min(actives))} nats")
    if passives:
        parts.append(f"the strongest passive has {beside(tau, max(passives))} nats")
    return "; ".join([parts[0], ", ".join(parts[1:])])


def _about_the_decoder(verdict: Verdict) -> Iterator[str]:
    if verdict.explained is None or verdict.explained_se is None:
        yield "Nothing is known of a decoder, so that the space cannot be called clean."
        return
    r = f"R = {beside(EXPLAINS_FROM, verdict.explained)} +- {verdict.explained_se:.2g}"
    if verdict.explains_nothing:
        why = "training has settled" if verdict.settled else "training has not settled"
        yield f"The model explains nothing ({r}, needed: {EXPLAINS_FROM:.2f}), and {why}."
        return
    yield f"The model explains {r} of the explainable reconstruction loss."
    if verdict.explained_by_prior is not None:
        yield f"Its prior alone, which knows u, explains {verdict.explained_by_prior:.2f}."


def _about_a_failure(latents: Sequence[LatentDiagnostics], verdict: Verdict) -> Iterator[str]:
    if _has_diverged(verdict):
        yield (
            "It draws images far worse than the mean image: training has diverged. That is a "
            "failure of training, which says nothing of what the objective prefers. " + REMEDY
        )
    elif _has_died(latents, verdict):
        yield (
            "All latents are the same for every image, but for rounding: the encoder has died. "
            "That is a failure of training, which counts as a collapse from scratch and says "
            "nothing of what the objective prefers. " + REMEDY
        )


def _has_diverged(verdict: Verdict) -> bool:
    return verdict.explained is not None and verdict.explained < DIVERGED_BELOW


def _has_died(latents: Sequence[LatentDiagnostics], verdict: Verdict) -> bool:
    # `Codes.is_constant` compares the range of the codes with the largest, but measures keep their
    # mean and variance alone. What is constant by that is so here too: a std is at most half of
    # the range.
    is_constant = all(
        math.sqrt(latent.var_of_mean) <= ROUNDING * abs(latent.mean_of_mean) for latent in latents
    )
    return is_constant and bool(verdict.explains_nothing)


def _about_the_flaws(latents: Sequence[LatentDiagnostics], verdict: Verdict) -> Iterator[str]:
    if verdict.regime is Regime.CLEAN:
        gap = "" if verdict.gap_factor is None else f", {_gap(verdict.gap_factor)}"
        yield (
            "It is clean: no active latent is idle, and the active latents alone bring "
            f"{verdict.sufficiency:.1%} of what all latents add to R{gap}."
        )
    if verdict.regime is Regime.POLARISED and verdict.gap_factor is not None:
        yield f"The groups are apart: {_gap(verdict.gap_factor)}."
    for flaw in verdict.flaws:
        match flaw:
            case Flaw.IDLE:
                idle = [str(latent.latent) for latent in latents if latent.is_idle]
                yield (
                    f"It is not clean because the decoder hardly uses {count_latents(len(idle))} "
                    f"that {_are(len(idle))} active by entropy ({', '.join(idle)}); with more "
                    "steps such latents usually become passive."
                )
            case Flaw.LEAK:
                carried = verdict.sufficiency or 0.0
                yield (
                    "It is not clean because the passive latents carry a part of what the model "
                    f"explains: the active latents alone bring {carried:.1%} of what all latents "
                    f"add to R, needed: {SUFFICIENT_FROM:.0%}."
                )
            case Flaw.BLURRED:
                yield (
                    "It is not clean because no gap separates the groups: "
                    f"{_gap(verdict.gap_factor or 0.0)}, needed: {LEAST_GAP:g}."
                )
            case _:
                assert_never(flaw)


def _gap(factor: float) -> str:
    stds = f"{beside(LEAST_GAP, factor)} times the equivalent std of the strongest passive"
    return f"the weakest active latent has {stds}"


def _about_polarisation(verdict: Verdict) -> str:
    regime = verdict.paper_regime.replace("_", "-")
    p = beside(POLARISED_FROM, verdict.polarisation)
    return f"By P alone, which follows from the entropies, it is {regime} (P = {p})."


def _about_the_budget(settling: Settling, steps: int, *, has_failed: bool) -> str:
    budget = f"Budget: {steps:,} {'step' if steps == 1 else 'steps'}"
    since = settling.since_step
    if since is None:
        return (
            f"{budget}; not settled as far as is known: too few evaluations at the final weight."
        )
    changed = settling.labels_changed
    facts = [
        f"{count_latents(changed) if changed else 'no latent'} changed label since step {since:,}",
        f"over the last fifth the largest move of an entropy was "
        f"{beside(SETTLED_NATS, settling.largest_move_nats)} nats (latent "
        f"{settling.most_moved}; settled up to {SETTLED_NATS} nats) and R "
        f"{'fell' if settling.rise_of_explained < 0 else 'rose'} by "
        f"{beside(SETTLED_CHANGE, abs(settling.rise_of_explained))} "
        f"(settled below {SETTLED_CHANGE})",
    ]
    if settling.n_idle:
        was = "was" if settling.n_idle == 1 else "were"
        facts.insert(
            1, f"{count_latents(settling.n_idle)} {was} idle at some evaluation since then"
        )
    if settling.is_before_learning and not has_failed:
        facts.append("what the latents say has not faded, so that learning may be yet to start")
    if settling.settled:
        return f"{budget}; settled: {', '.join(facts)}."
    more = "hardly mend a training that has failed" if has_failed else "may change the verdict"
    return f"{budget}; not settled: {', '.join(facts)}. More steps {more}."


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
