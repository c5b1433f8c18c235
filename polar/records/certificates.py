"""What trained models pay at any weight, and what that says about the edges of a band.

Notation:
    w: weight.
    A, B: reconstruction loss in nats per image, and penalty in the model's own unit.
    k: 1 where the loss is summed over pixels; the number of pixels where it is averaged over them.
    loss: A + w k B, the loss that training minimises, in nats per image, summed over pixels.
    total collapse: the model that draws the mean image for every code. Each network can learn it,
        because the biases of its decoder can draw any image.
"""

import math
from collections import Counter
from enum import StrEnum
from typing import Annotated, Literal, TypeGuard
from uuid import UUID

from pydantic import Field

from polar.records.latents import Flaw, Regime
from polar.records.record import Record

Variance = Annotated[float, Field(ge=0)]


class LossTerms(Record):
    """The terms of a trained model's loss, as means over images that it was trained on.

    A is the mean over several samples of each posterior. Each image has samples of its own, so
    that the variance between images contains the Monte Carlo error, and so do the variances here.
    They treat the images as drawn at random. Where all training images are measured, the error of
    the loss that training minimises is smaller.
    """

    #: Number of images measured.
    images: int = Field(ge=2)
    reconstruction_nats: float
    penalty: float
    #: A of a perfect reconstruction, which for grey pixels is not 0.
    floor_nats: float
    #: A and B of total collapse.
    mean_image_nats: float
    collapsed_penalty: float
    #: k: nats per image by which a penalty of 1 raises the loss at weight 1.
    nats_per_penalty: float = Field(gt=0)
    #: Variances and covariance of the means over the images. The gain is A of total collapse minus
    #: A, and its variance is the smaller, because images that are hard for the model are mostly
    #: hard for the mean image too.
    gain_variance: Variance
    penalty_variance: Variance
    covariance: float

    @property
    def explainable_nats(self) -> float:
        """A of total collapse minus that of a perfect reconstruction, nats per image."""
        return self.mean_image_nats - self.floor_nats

    @property
    def gain_nats(self) -> float:
        """A of total collapse minus A of the model, nats per image."""
        return self.mean_image_nats - self.reconstruction_nats

    @property
    def rise_nats(self) -> float:
        """By how much a unit of weight raises the loss above that of total collapse, in nats."""
        return self.nats_per_penalty * (self.penalty - self.collapsed_penalty)

    def above_collapse_nats(self, weight: float) -> float:
        """The loss at a weight minus that of total collapse; below 0 where the model is better."""
        return weight * self.rise_nats - self.gain_nats

    def se_nats(self, weight: float) -> float:
        """Standard error of `above_collapse_nats` at a weight."""
        factor = weight * self.nats_per_penalty
        variance = (
            self.gain_variance
            - 2 * factor * self.covariance
            + factor * factor * self.penalty_variance
        )
        return math.sqrt(max(variance, 0.0))  # rounding makes it negative where both terms cancel


class Trained(Record):
    """Which training a model comes from, among those of one problem."""

    weight: float = Field(ge=0)
    seed: int
    steps: int
    #: The weights of the trainings that it went on from, in order; none if it began from scratch.
    warm_start: tuple[float, ...] = ()
    #: The service's id of the run; none where no service trained it.
    run_id: UUID | None = None

    def words(self) -> str:
        """The training in words, such as `22 (seed 0, 2,000 steps, from 18)`."""
        origin = "".join(f", from {weight:.4g}" for weight in self.warm_start[-1:])
        return f"{self.weight:.4g} (seed {self.seed}, {self.steps:,} steps{origin})"


class KnownModel(Trained):
    """A trained model, which bounds the least loss of its problem at every weight."""

    #: Whether its latent space has the regime of the band that is searched.
    is_inside: bool
    #: Whether its training had settled, so that more steps would not move it into the band or out.
    has_settled: bool
    terms: LossTerms

    def training(self) -> Trained:
        """The training that the model comes from, without what is known of the model."""
        return Trained(**{name: getattr(self, name) for name in Trained.model_fields})


class NotOptimal(Record):
    """A trained model that is not the optimum at its weight, and the best model known there.

    The better model's loss is smaller by more than two standard errors, and by more than a
    hundredth of the explainable loss too, which is no field of this record.
    """

    model: Trained
    #: None for total collapse.
    better: Trained | None
    #: By how much the loss of the better model is smaller, in nats per image, with its error.
    by_nats: float
    se_nats: float


class ComparedModel(Trained):
    """A trained model of a study's problem, as a line in the weight, and what beats it.

    At weight w its loss is that of total collapse plus `w * rise_nats - gain_nats`.
    """

    regime: Regime
    #: What keeps a forming space from being clean; empty for all other regimes.
    flaws: tuple[Flaw, ...] = ()
    #: Whether the study asked for the training; others belong to other studies or experiments.
    is_own: bool
    #: Reconstruction loss of the mean image minus that of the model, nats per image.
    gain_nats: float
    #: By how much a unit of weight raises the loss above that of total collapse, in nats.
    rise_nats: float
    #: Which model is better at this model's own weight, and by how much; none if no known one is.
    not_optimal: NotOptimal | None


class Standing(StrEnum):
    """What the known models say about an edge of the band.

    A loss counts as smaller where the difference is more than two standard errors and more than a
    hundredth of the explainable loss. A model leads at a weight where its loss is smaller than
    those of all known models of the other side of the edge; total collapse is outside.
    """

    #: At the weight just beyond the edge a model outside leads whose training has settled, or
    #: total collapse; a model inside that was trained close by, and has settled too, is the best
    #: at its own weight; no training in the edge's interval is beaten by a model of the other
    #: side, where trainings that are shorter than the budget and have not settled do not count;
    #: and the edge is not known to move as trainings become longer. No better solution is known;
    #: there may still be a better one.
    CERTIFIED = "certified"
    #: The models neither certify nor refute the edge, or it moves as trainings become longer.
    UNDECIDED = "undecided"
    #: A model inside leads beyond the edge: trainings there have missed the optimum.
    NOT_OPTIMAL = "not_optimal"
    #: A model outside, or total collapse, leads where training reaches the band next to the edge:
    #: the optimum leaves the band earlier.
    NOT_OPTIMAL_INSIDE = "not_optimal_inside"


class EdgeCertificate(Record):
    """Whether an edge belongs to the objective, or only to what training reaches."""

    side: Literal["left", "right"]
    standing: Standing
    #: The end of the edge's interval on the band's side: for a single seed the last weight at
    #: which training reached the band; for several seeds the weight that the edge lies beyond with
    #: a chance of 95 %, so that half of all seeds reach the band up to there. None where the
    #: interval has no such end.
    reached: float | None
    #: The other end of the interval: for a single seed the first weight beyond the edge.
    beyond: float
    #: The weights, on the way out of the band, from which on and up to which the model leads that
    #: refutes the edge. Where several do, it is the model that leads farthest beyond the edge, or
    #: from farthest inside. For `not_optimal_inside` the lead is followed up to the edge's
    #: trainings inside. These fields and the next are none unless the edge is refuted;
    #: `exists_from` is none in a certificate that was stored before it was kept.
    exists_from: float | None = None
    exists_to: float | None
    #: Which model that is; none for total collapse too.
    by: Trained | None

    def words(self, kind: str, models: int) -> str:
        """What is said beside an edge of a band of this kind, such as `clean`.

        Args:
            kind: What the band consists of.
            models: The number of known models.
        """
        way, out = ("up", 1) if self.side == "right" else ("down", -1)
        if self.standing is Standing.CERTIFIED:
            at = f"{self.beyond:.4g}"
            return f"certified: no better solution is known at {at} than one that is not {kind}"
        if self.exists_to is None:
            return "not certified: the known models neither confirm nor refute it"
        begin = self.beyond if self.exists_from is None else self.exists_from
        if self.standing is Standing.NOT_OPTIMAL_INSIDE:
            return (
                f"reached from scratch {way} to {self.exists_to:.4g} by training alone: from "
                f"{begin:.4g} {way} a better solution is known, which is not {kind}"
            )
        reached = ""
        if self.reached is not None:
            reached = f"reached from scratch {way} to {self.reached:.4g}; "
        where = f"{way} to {self.exists_to:.4g}"
        if out * begin > out * self.beyond:
            where = f"from {begin:.4g} {where}"
        return f"{reached}a {kind} solution is the best of {models} known {where}"


class Certificates(Record):
    """What the known models of a problem say about the trainings and the edges of a study."""

    #: The trainings of the study that are not the optimum at their weight.
    not_optimal: tuple[NotOptimal, ...]
    #: Certificates of the band's outermost edges; none for an edge that lies beyond the search.
    left: EdgeCertificate | None
    right: EdgeCertificate | None
    #: Number of models compared, besides total collapse.
    models: int

    def not_optimal_at(self) -> str:
        """The weights of the trainings that are not optimal, such as `0.3, 42.47 (8 times)`."""
        times = Counter(f"{found.model.weight:.4g}" for found in self.not_optimal)
        return ", ".join(f"{at} ({n} times)" if n > 1 else at for at, n in times.items())


#: What is known of a study without any known model.
NO_CERTIFICATES = Certificates(not_optimal=(), left=None, right=None, models=0)


def is_refuted(certificate: EdgeCertificate | None) -> TypeGuard[EdgeCertificate]:
    """Whether the known models refute an edge; False without a certificate."""
    refuting = (Standing.NOT_OPTIMAL, Standing.NOT_OPTIMAL_INSIDE)
    return certificate is not None and certificate.standing in refuting
