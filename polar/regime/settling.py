"""Whether a training has settled: whether more steps would still change the verdict.

Notation:
    T: steps so far.
    H: judged entropies, in nats.
    R: part of the explainable reconstruction loss that the model explains.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from polar.errors import InvalidInput
from polar.records.events import Evaluation
from polar.records.latents import LatentDiagnostics
from polar.regime.decoding import STANDARD_ERRORS, Explained

#: Shares of the steps, from the end, over which labels, and over which H and R, must stand still.
#: Chosen by us, because active latents fall idle slowly, and labels follow later still.
LABELS_OVER = 0.4
MOVES_OVER = 0.2
#: Largest move, in nats, of an entropy that has settled. Chosen by us, because it is less than
#: half of the default tau, and 1e5 times the error of the estimator.
SETTLED_NATS = 0.1
#: A model that explains nothing has collapsed when the signal of its latents has faded to this
#: part of its largest. Chosen by us, because before the digits are learned at beta = 18 it stays
#: above a third for 1,000 steps, while at beta = 22 it has faded to a tenth by then, for good.
FADED_TO = 0.2
#: The signal counts from where R is within this much of its final value. Chosen by us, because R
#: begins near -2, and until the decoder draws about the mean image the codes are leaps of the
#: first steps: at beta = 14 they are up to 14 times the signal that follows.
NEAR_FINAL = 0.25
#: Largest change of R of a training that has settled. Chosen by us without comparing other values:
#: it is a fifth of the least R that counts. Before step 1,000 evaluations decode fewer
#: images (`images_decoded`), so that a part of a change may be that of the images.
SETTLED_CHANGE = 0.01
#: The same for a model that explains too little to count, as a part of its R. Chosen by us,
#: because before the digits are learned at lambda = 0.003 R lies between 0.01 and 0.05 from step
#: 256 to step 724, and grows by a fifth or more over each fifth of the steps.
SETTLED_PART = 0.1


@dataclass(frozen=True)
class Look:
    """The part of an evaluation by which settling is judged."""

    step: int
    latents: tuple[LatentDiagnostics, ...]
    explained: Explained
    explains_nothing: bool

    @classmethod
    def of(cls, evaluation: Evaluation) -> "Look":
        """The look of a run's evaluation."""
        verdict = evaluation.verdict
        explained = Explained(verdict.explained or 0.0, verdict.explained_se or 0.0)
        return cls(evaluation.step, evaluation.latents, explained, bool(verdict.explains_nothing))


@dataclass(frozen=True)
class Settling:
    """What still moved at the end of a training, or of the steps so far."""

    settled: bool
    #: Largest difference between an entropy of a latent and its final entropy, in nats, over the
    #: last fifth of the steps, and the latent that made this move.
    largest_move_nats: float
    most_moved: int
    #: Largest change of R up to its final value over the last fifth of the steps; negative where
    #: R fell.
    rise_of_explained: float
    #: Number of latents that had another label than their final one over the last 40 % of steps.
    labels_changed: int
    #: Number of latents that were idle at some time over the last 40 % of the steps, while the
    #: model explained something.
    n_idle: int
    #: First step that was compared; none when the evaluations do not cover the last 40 % of the
    #: steps, or when the weight still rose in them.
    since_step: int | None
    #: Whether the model explains nothing, but what its latents say has not faded: it may be about
    #: to learn.
    is_before_learning: bool


def settling(looks: Sequence[Look], risen_at: int = 0) -> Settling:
    """Whether a training has settled by its last look.

    A training that explains something has settled when over the last 40 % of the steps no label
    differs from the final one and no latent is idle, and over the last fifth R differs from its
    final value by less than 0.01 and no entropy by more than 0.1 nats. The 40 % start with the
    latest look at or before their first step, so that a sparse schedule is judged over more, never
    less; where the last fifth starts between looks, R and entropies are interpolated.

    A training that explains nothing may be on the plateau before learning starts, where everything
    stands still, and its labels mean nothing. It has settled when R stands still so and the
    signal of its latents has faded to a fifth of its largest over the last 40 % of the steps. Or
    it rests at an R that is above 0 but too small to count: all of the above stands still, and R
    has changed by less than a tenth of itself.

    Args:
        looks: All looks of a run, by ascending step; the last is at the end of the steps so far.
        risen_at: The step from which on the weight of the penalty stands still. A training that
            was compared with looks before it has not settled.

    Raises:
        InvalidInput: there are no looks.
    """
    if not looks:
        raise InvalidInput("settling of 0 evaluations; allowed: at least 1")
    final = looks[-1]
    lately = looks[_first_of(looks, LABELS_OVER) :]
    moves = _numbers(final) - _numbers_of_last_fifth(looks)
    of_explained, of_entropies = moves[:, 0], np.abs(moves[:, 1:])
    change, largest = float(max(of_explained, key=abs)), float(of_entropies.max())
    changed = {
        now.latent
        for look in lately
        for then, now in zip(look.latents, final.latents, strict=True)
        if then.label != now.label
    }
    idle = {
        now.latent
        for look in lately
        for now in look.latents
        if now.is_idle and not look.explains_nothing
    }
    first_step = (1 - LABELS_OVER) * final.step
    is_covered = len(lately) > 1 and risen_at <= lately[0].step <= first_step
    r_is_still = abs(change) < SETTLED_CHANGE
    is_still = r_is_still and largest <= SETTLED_NATS and not (changed or idle)
    is_before_learning = False
    if final.explains_nothing:
        part, se = final.explained.part, final.explained.se
        rests = is_still and part > STANDARD_ERRORS * se and abs(change) < SETTLED_PART * part
        has_faded = _has_faded(looks, len(lately))
        is_still = rests or (r_is_still and has_faded)
        is_before_learning = not (rests or has_faded)
    return Settling(
        settled=is_covered and is_still,
        largest_move_nats=largest,
        most_moved=final.latents[int(of_entropies.max(0).argmax())].latent,
        rise_of_explained=change,
        labels_changed=len(changed),
        n_idle=len(idle),
        since_step=lately[0].step if is_covered else None,
        is_before_learning=is_before_learning,
    )


def _first_of(looks: Sequence[Look], share: float) -> int:
    """The position of the latest look before the last steps, which are this share of all.

    A look at the first of these steps counts as well; the position is 0 if there is none.
    """
    first_step = (1 - share) * looks[-1].step
    return max(sum(look.step <= first_step for look in looks[:-1]) - 1, 0)


def _numbers(look: Look) -> Float64[np.ndarray, " numbers"]:
    """R, and the entropy of each latent in nats."""
    entropies = [latent.judged_entropy_nats for latent in look.latents]
    return np.array([look.explained.part, *entropies])


def _numbers_of_last_fifth(looks: Sequence[Look]) -> Float64[np.ndarray, "looks numbers"]:
    """The numbers of the looks over the last fifth of the steps, and those at its first step.

    What no look shows is interpolated in the logarithm of the step, because models change by that.
    """
    first = _first_of(looks, MOVES_OVER)
    latest, first_step = looks[first:], (1 - MOVES_OVER) * looks[-1].step
    numbers = np.array([_numbers(look) for look in latest])
    before = latest[0].step
    if before < first_step and len(latest) > 1:
        part = math.log(first_step / before) / math.log(latest[1].step / before)
        numbers[0] += part * (numbers[1] - numbers[0])
    return numbers


def _has_faded(looks: Sequence[Look], n_lately: int) -> bool:
    """Whether the last looks have at most a fifth of the largest signal.

    Args:
        looks: All looks of a run, by ascending step. The largest signal is sought from the first
            look on at which R is near its final value.
        n_lately: The number of the last looks.
    """
    signals = _signals(looks)
    first = next(
        position
        for position, look in enumerate(looks)
        if look.explained.part >= looks[-1].explained.part - NEAR_FINAL
    )
    return max(signals[-n_lately:]) <= FADED_TO * max(signals[first:])


def _signals(looks: Sequence[Look]) -> list[float]:
    """What the latents say at all: their KL divergence, or without a prior their variance.

    The part of the divergence that the variances never fall below says nothing: that of a fixed
    variance stays when everything else has faded.
    """
    if looks[-1].latents[0].kl_nats is None:
        return [sum(latent.var_of_mean for latent in look.latents) for look in looks]
    divergences = [sum(latent.kl_nats or 0.0 for latent in look.latents) for look in looks]
    of_variances = [
        sum(latent.kl_variance_part_nats or 0.0 for latent in look.latents) for look in looks
    ]
    return [divergence - min(of_variances) for divergence in divergences]
