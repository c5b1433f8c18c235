"""The measurement of a set of codes, as plain records for files, the API and tables.

This module imports no torch and no numpy. Every number is finite; undefined numbers are none.
"""

from enum import StrEnum

from polar.records.latents import Label, LatentDiagnostics, Verdict
from polar.records.record import Record
from polar.records.sensitivity import Sensitivity
from polar.spec.training import Ruler

#: The file of a measurement's folder that is written last, with the content of `Measurement`.
MEASUREMENT_FILE = "measurement.json"


class Criterion(StrEnum):
    """The rules that label each latent; which of them apply depends on the model."""

    #: Entropy of the mean representation above tau (Clapham et al., Eq. 8), in units of the ruler
    #: by which the verdict goes. Applies to all models.
    ENTROPY = "entropy"
    #: The same by the absolute ruler, as in the paper. Applies where the scaled ruler differs: to
    #: models with a conditional prior or without a prior.
    ENTROPY_ABSOLUTE = "entropy_absolute"
    #: Variance of the mean representation above 0.01 (Burda et al.). Applies to all models.
    ACTIVE_UNITS = "active_units"
    #: Entropy of the mean, and two modes of the variance representation (ours, after Eq. 11).
    TWO_SIGNALS = "two_signals"
    #: Mean KL divergence from N(0, 1) above 0.01. Applies to variational models.
    KL = "kl"
    #: Mean KL divergence from the conditional prior above 0.01. Replaces `kl` for an iVAE.
    CONDITIONAL_PRIOR = "conditional_prior"
    #: KL divergence below epsilon for all but a fraction delta of the images (Lucas et al.).
    EPSILON_DELTA = "epsilon_delta"
    #: Mean and variance of the variance representation (the code of Bonheme and Grzes).
    BONHEME = "bonheme"
    #: `bonheme` with conditions on the mean representation too, and a fourth label for the rest.
    BONHEME_STRICT = "bonheme_strict"


class CriterionLabel(Record):
    """What a criterion says about a latent, and why."""

    criterion: Criterion
    latent: int
    label: Label
    #: The distance to the boundary: how far the latent is on its side of the nearest boundary, at
    #: least 0, in the unit of the criterion: nats, variance of a latent, or variance of the
    #: variance.
    margin: float
    #: The quantity that the criterion goes by, as a number that grows with activity.
    score: float
    #: The reason for the label, in a sentence.
    why: str


class Agreement(Record):
    """How far two criteria agree about the latents of a set of codes.

    Mixed counts as active, because the decoder uses such a latent, if not for every image. Latents
    that either criterion leaves undetermined are not compared.
    """

    criterion_a: Criterion
    criterion_b: Criterion
    #: Cohen's kappa; none when both give all latents the same label, or nothing was compared.
    kappa: float | None
    #: Fraction of the compared latents with the same label; none when nothing was compared.
    agreement: float | None
    #: Number of latents compared.
    compared: int


class ConfidenceInterval(Record):
    """Interval of 95 % of an entropy or of tau, over resampled images."""

    low_nats: float
    high_nats: float


class Threshold(Record):
    """The threshold tau that a rule sets; the verdict goes by `fixed`, the others are evidence."""

    #: `fixed`, `gap`, `otsu` or `mixture`.
    method: str
    #: The threshold on the entropy; none where the rule sees no regime.
    tau_nats: float | None
    #: Standard deviation of a Gaussian latent whose entropy is tau, in units of the ruler.
    equivalent_std: float | None
    #: How tau was set, or why there is none, in a sentence.
    reason: str
    #: Interval of tau over the resamples that have one; none where most resamples have none.
    interval: ConfidenceInterval | None
    #: Fraction of the resamples in which the rule sees a regime, 0 to 1.
    found: float


class Dip(Record):
    """Hartigan's dip of the entropies: evidence that there are two groups of latents."""

    #: Largest distance of their distribution from the nearest unimodal distribution, 0 to 0.25.
    dip: float
    #: Probability of so large a dip under a uniform distribution.
    p_value: float
    #: Number of latents that the smaller of two groups needs for p < 0.05, however far apart the
    #: groups are; none where no number suffices.
    smallest_group: int | None


class MixedScore(Record):
    """Signals that a latent might be mixed; each is larger for a mixed latent, if it works."""

    latent: int
    #: Entropy and variance of the mean representation, which cannot distinguish mixed from active.
    mean_entropy_nats: float
    var_of_mean: float
    #: Entropy of the variance representation, at the kernel width 0.1. This and the next two are
    #: none for a deterministic autoencoder.
    variance_entropy_nats: float | None
    #: 2 min(f, 1 - f), with the fraction f of images whose KL divergence is below epsilon.
    kl_bimodality: float | None
    #: Score of the two-signals rule: entropy of the mean representation, and two modes of the
    #: variance representation; 0 to 1.
    two_signals: float | None
    #: Difference of the entropies on two groups of the images, at least 0; none where the images
    #: have no two groups.
    subset_entropy_nats: float | None


class Redundancy(Record):
    """How far a passive latent repeats what the active latents say."""

    latent: int
    #: R^2 of a linear regression on all active latents, for images that it was not fitted to; at
    #: most 1, and below 0 where the mean predicts better. None where there are no more images than
    #: active latents.
    r_squared: float | None
    #: The active latent with the largest mutual information, as far as a search can tell.
    nearest_active: int
    #: Mutual information of order 2 with that latent, both in units of their standard deviation.
    information_nats: float
    #: The same for shuffled pairs, which the estimator returns where no information is shared.
    information_baseline_nats: float


class UsageScore(Record):
    """How well the score of a criterion predicts what the decoder uses."""

    criterion: Criterion
    #: Probability that a used latent has a larger score than an unused latent; none when the
    #: decoder uses all latents, or none of them.
    auc: float | None
    #: Rank correlation of score and usage; none when either is constant.
    spearman: float | None
    #: Number of latents whose usage exceeds the threshold.
    used: int


class Measurement(Record):
    """Everything that was measured of a set of codes."""

    images: int
    ruler: Ruler
    sigma: float
    renyi_alpha: float
    #: A name for each latent, in the order of the latents, intervals and entropies that follow.
    names: tuple[str, ...]
    latents: tuple[LatentDiagnostics, ...]
    entropy_intervals: tuple[ConfidenceInterval, ...]
    #: Entropy within the images of a class, averaged over the classes; none where no classes are
    #: known, or so many that it was left out.
    entropy_given_label_nats: tuple[float, ...] | None
    #: The labels by every criterion that applies.
    labels: tuple[CriterionLabel, ...]
    #: The thresholds by every rule, the fixed threshold first.
    thresholds: tuple[Threshold, ...]
    verdict: Verdict
    #: The dip of the entropies; none for fewer than 4 latents.
    dip: Dip | None
    agreement: tuple[Agreement, ...]
    mixed: tuple[MixedScore, ...]
    #: One record for each passive latent that is not constant; empty without active latents.
    redundancy: tuple[Redundancy, ...]
    #: How well each criterion predicts the latents that the decoder uses; empty without usage.
    usage: tuple[UsageScore, ...]
    #: Why the verdict is what it is, in one paragraph, and then the remarks.
    explanation: str
    #: Sentences on what is unusual about the codes, which measures that concerns, and what was
    #: left out or sampled. Measurements of earlier versions have none.
    remarks: tuple[str, ...] = ()
    #: The verdict under other choices of kernel, images, threshold and ruler: labels and gap
    #: alone, because nothing is known of a decoder. None where the codes are too many, and in
    #: measurements of earlier versions.
    sensitivity: tuple[Sensitivity, ...] | None = None
