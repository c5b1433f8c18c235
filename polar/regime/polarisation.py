"""How far apart a latent space's active and passive latents are, and what that is called.

Notation:
    H: judged entropies of the latents, in nats; active above tau, passive at or below.
    P: polarisation = (mean H of the actives - mean H of the passives) / max H, 0 to 1.
    R: part of the explainable reconstruction loss that decoding the mean explains, 0 to 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from polar.errors import InvalidInput
from polar.records.events import Evaluation
from polar.records.latents import Label, LatentDiagnostics, LatentMeasures, Regime, Verdict
from polar.regime.criteria import label_by_entropy
from polar.regime.words import beside, count_latents

#: Least P of a polarised space. Chosen by us, because it makes the polarised weights of the linear
#: beta-VAE, which is solved in closed form, one interval for nearly every spectrum; a rule on the
#: gap between the groups breaks them into pieces.
POLARISED_FROM = 0.5
#: Least R of a decoder that draws more than the mean image. Chosen by us, because on the digits R
#: is 0.00 when all latents have collapsed and 0.55 when three are left.
NO_GAIN_BELOW = 0.02
#: Largest move, in nats, of an entropy that has settled. Chosen by us, because it is less than
#: half of the default tau, and 1e5 times the error of the estimator.
SETTLED_NATS = 0.1
#: Two losses that differ by no more than this, relatively, differ by rounding. Chosen by us,
#: because losses may be sums in float32, which keeps seven digits.
LOSS_ROUNDING = 1e-6


@dataclass(frozen=True)
class Judgement:
    """The labels of all latents and the verdict on them, decided together by one tau."""

    latents: tuple[LatentDiagnostics, ...]
    verdict: Verdict


def judge(
    latents: Sequence[LatentMeasures], *, tau: float, explained: float | None = None
) -> Judgement:
    """Labels every latent by its entropy, and gives the verdict on the latent space.

    Collapsed without an active latent, under-regularised without a passive latent, polarised from
    P = 0.5, else forming. R below 0.02 is flagged and does not change the regime.

    Args:
        latents: The measures of all latents of one evaluation.
        tau: A latent is active when its judged entropy exceeds this many nats.
        explained: R, 0 to 1; none where codes are measured without their decoder.

    Raises:
        InvalidInput: there are no latents, or tau or R is out of range.
    """
    if not latents:
        raise InvalidInput("a latent space of 0 latents; allowed: at least 1")
    if explained is not None and not 0 <= explained <= 1:
        raise InvalidInput(f"the explained part is {explained}; allowed: 0 to 1")
    labelled = tuple(
        LatentDiagnostics(**vars(latent), label=label_by_entropy(latent.judged_entropy_nats, tau))
        for latent in latents
    )
    actives, passives = _entropies_by_label(labelled)
    both = bool(actives and passives)
    polarisation = _polarisation(actives, passives) if both else 0.0
    verdict = Verdict(
        regime=_regime(bool(actives), bool(passives), polarisation),
        tau_nats=tau,
        n_active=len(actives),
        n_passive=len(passives),
        polarisation=polarisation,
        margin_nats=min(actives) - max(passives) if both else None,
        explained=explained,
        clean_polarisation=None if explained is None else polarisation * explained,
        no_reconstruction_gain=None if explained is None else explained < NO_GAIN_BELOW,
    )
    return Judgement(labelled, verdict)


def _entropies_by_label(
    latents: Sequence[LatentDiagnostics],
) -> tuple[list[float], list[float]]:
    """The judged entropies of the active latents, and those of the passive ones."""
    actives, passives = (
        [latent.judged_entropy_nats for latent in latents if latent.label is label]
        for label in (Label.ACTIVE, Label.PASSIVE)
    )
    return actives, passives


def _polarisation(actives: Sequence[float], passives: Sequence[float]) -> float:
    apart = (fmean(actives) - fmean(passives)) / max(actives)
    return min(apart, 1.0)  # the mean of equal numbers can exceed them in the last digit


def _regime(any_active: bool, any_passive: bool, polarisation: float) -> Regime:
    if not any_active:
        return Regime.COLLAPSED
    if not any_passive:
        return Regime.UNDER_REGULARISED
    return Regime.POLARISED if polarisation >= POLARISED_FROM else Regime.FORMING


def explained_part(loss: float, mean_image_loss: float, floor: float) -> float:
    """R = (mean_image_loss - loss) / (mean_image_loss - floor), clamped to [0, 1].

    Where the mean image is already perfect (all images are alike) there is nothing to explain, and
    R is 0, as for any decoder that is no better than the mean image.

    Args:
        loss: Reconstruction loss of decoding the mean, nats per image.
        mean_image_loss: Reconstruction loss of drawing the mean image for every input.
        floor: Reconstruction loss of a perfect reconstruction.

    Raises:
        InvalidInput: a loss is not finite, or the floor lies above the loss of the mean image.
    """
    losses = {"loss": loss, "mean_image_loss": mean_image_loss, "floor": floor}
    for name, value in losses.items():
        if not math.isfinite(value):
            raise InvalidInput(f"{name} is {value} nats; allowed: finite numbers")
    explainable = mean_image_loss - floor
    rounding = LOSS_ROUNDING * abs(mean_image_loss)
    if explainable < -rounding:
        raise InvalidInput(
            f"floor is {floor} nats; allowed: at most the {mean_image_loss} of the mean image"
        )
    if explainable <= rounding:
        return 0.0
    return min(max((mean_image_loss - loss) / explainable, 0.0), 1.0)


@dataclass(frozen=True)
class Convergence:
    """What still moved over the last fifth of the training steps."""

    converged: bool
    #: Largest difference between an entropy of a latent and its final entropy.
    largest_move_nats: float
    #: The latent that made this move.
    most_moved: int
    #: Number of latents that had another label than their final one.
    labels_changed: int
    #: First step that was compared; none when the evaluations do not cover the last fifth.
    since_step: int | None


def convergence(evaluations: Sequence[Evaluation], steps: int) -> Convergence:
    """Whether the entropies have settled by the end of training.

    They have when every evaluation over the last fifth of the steps has the labels of the final
    evaluation, and no entropy differs from its final value by more than 0.1 nats. The fifth starts
    with the latest evaluation at or before 0.8 * steps, so that a sparse schedule is judged over
    more than a fifth, never less. Where evaluations do not reach from there to the end, nothing is
    known, and the training counts as not converged.

    Args:
        evaluations: All evaluations of a run, by ascending step.
        steps: Training steps of the whole run.

    Raises:
        InvalidInput: there are no evaluations.
    """
    if not evaluations:
        raise InvalidInput("convergence of 0 evaluations; allowed: at least 1")
    final = evaluations[-1]
    early = [evaluation for evaluation in evaluations if 5 * evaluation.step <= 4 * steps]
    compared = evaluations[max(len(early) - 1, 0) :]
    pairs = [
        (then, now)
        for evaluation in compared
        for then, now in zip(evaluation.latents, final.latents, strict=True)
    ]
    moves = [abs(then.judged_entropy_nats - now.judged_entropy_nats) for then, now in pairs]
    largest = max(moves)
    changed = {now.latent for then, now in pairs if then.label != now.label}
    covered = bool(early) and final.step >= steps
    return Convergence(
        converged=covered and not changed and largest <= SETTLED_NATS,
        largest_move_nats=largest,
        most_moved=pairs[moves.index(largest)][1].latent,
        labels_changed=len(changed),
        since_step=compared[0].step if covered else None,
    )


def explain(final: Evaluation, convergence: Convergence, steps: int) -> str:
    """Why the verdict is what it is, in one paragraph for a researcher.

    Args:
        final: The last evaluation.
        convergence: What still moved before the last evaluation.
        steps: Training steps of the whole run.
    """
    sentences = (
        explain_regime(final.latents, final.verdict),
        _about_the_reconstruction(final.verdict),
        _about_the_budget(convergence, steps),
    )
    return " ".join(sentence for sentence in sentences if sentence)


def explain_regime(latents: Sequence[LatentDiagnostics], verdict: Verdict) -> str:
    """Why the regime is what it is, in two sentences.

    Args:
        latents: All latents of one evaluation, as `judge` labelled them.
        verdict: The verdict that `judge` gave with these labels.
    """
    tau = verdict.tau_nats
    actives, passives = _entropies_by_label(latents)
    count = (
        f"{len(actives)} of {count_latents(len(latents))} {_are(len(actives))} active "
        f"(entropy above tau = {tau:.4g} nats) and {len(passives)} passive"
    )
    extremes = []
    if actives:
        extremes.append(f"the weakest active has {beside(tau, min(actives))} nats")
    if passives:
        extremes.append(f"the strongest passive has {beside(tau, max(passives))} nats")
    if verdict.margin_nats is not None:
        extremes.append(f"a gap of {beside(0.0, verdict.margin_nats)} nats")
    regime = verdict.regime.replace("_", "-").capitalize()
    return f"{regime}: {count}; {', '.join(extremes)}. {_about_the_polarisation(verdict)}"


def _about_the_polarisation(verdict: Verdict) -> str:
    p = f"polarisation P = {beside(POLARISED_FROM, verdict.polarisation)}"
    rule = f"(polarised from {POLARISED_FROM:.2f})"
    match verdict.regime:
        case Regime.COLLAPSED:
            return f"No group of actives stands out, so {p} {rule}."
        case Regime.UNDER_REGULARISED:
            return f"No latent is switched off, so {p} {rule}."
        case Regime.POLARISED:
            return f"The two groups are clearly apart: {p} {rule}."
        case Regime.FORMING:
            return f"The two groups are not yet apart: {p} {rule}."


def _about_the_reconstruction(verdict: Verdict) -> str:
    if verdict.explained is None or verdict.clean_polarisation is None:
        return ""
    r = beside(NO_GAIN_BELOW, verdict.explained)
    explained = f"Decoding the means explains R = {r} of the explainable reconstruction loss"
    if verdict.no_reconstruction_gain:
        return f"{explained}, less than {NO_GAIN_BELOW}: the decoder draws the mean image."
    return f"{explained}, so P * R = {verdict.clean_polarisation:.2f}."


def _about_the_budget(convergence: Convergence, steps: int) -> str:
    budget = f"Budget: {steps:,} {'step' if steps == 1 else 'steps'}"
    since = convergence.since_step
    if since is None:
        return f"{budget}; not converged as far as is known: no evaluations cover the last fifth."
    changed = convergence.labels_changed
    changes = f"{count_latents(changed) if changed else 'no latent'} changed label"
    largest = beside(SETTLED_NATS, convergence.largest_move_nats)
    move = (
        f"the largest move of an entropy was {largest} nats "
        f"(latent {convergence.most_moved}; settled up to {SETTLED_NATS} nats)"
    )
    if convergence.converged:
        return f"{budget}; converged: since step {since:,} {changes} and {move}."
    return (
        f"{budget}; not converged: since step {since:,} {changes} and {move}. "
        "More steps may change the verdict."
    )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
