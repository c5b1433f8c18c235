"""What is found out about one set of codes: plain records, for files, the API and tables.

Imports no torch and no numpy. Every number is finite; what is undefined is none.
"""

from enum import StrEnum

from polar.records.latents import Label, LatentDiagnostics, Verdict
from polar.records.record import Record


class Criterion(StrEnum):
    """The rules that label each latent; which of them apply depends on the model."""

    #: Entropy of the mean representation above tau (Clapham et al., Eq. 8). Applies to all models.
    ENTROPY = "entropy"
    #: Variance of the mean representation above 0.01 (Burda et al.). Applies to all models.
    ACTIVE_UNITS = "active_units"
    #: Entropy of the mean, and two modes of the variance representation (ours, after Eq. 11).
    TWO_SIGNALS = "two_signals"
    #: Mean KL divergence from N(0, 1).
    KL = "kl"
    #: The same from the conditional prior of an iVAE, where it takes the place of `kl`.
    CONDITIONAL_PRIOR = "conditional_prior"
    #: KL divergence below epsilon for all but a fraction delta of the images (Lucas et al.).
    EPSILON_DELTA = "epsilon_delta"
    #: Mean and variance of the variance representation (Bonheme and Grzes, as their code has it).
    BONHEME = "bonheme"
    #: The same with the conditions on the mean representation, and a fourth label for the rest.
    BONHEME_STRICT = "bonheme_strict"


class CriterionLabel(Record):
    """What one criterion says of one latent."""

    criterion: Criterion
    latent: int
    label: Label
    #: How far the latent is on its side of the nearest boundary, at least 0; in the unit of the
    #: criterion: nats, variance of a latent, or variance of the variance.
    margin: float
    #: What the criterion goes by, as one number that grows with activity.
    score: float
    #: One sentence.
    why: str


class Agreement(Record):
    """How far two criteria say the same of the latents of one set of codes.

    Mixed counts as active: the decoder uses such a latent, if not for every image. Latents that
    either criterion leaves undetermined are not compared.
    """

    criterion_a: Criterion
    criterion_b: Criterion
    #: Cohen's; none when both call all latents the same, or nothing was compared.
    kappa: float | None
    #: Fraction of the compared latents with the same label; none when nothing was compared.
    agreement: float | None
    #: Latents compared.
    compared: int


class ConfidenceInterval(Record):
    """Interval of 95 % over resampled images, of an entropy or of tau."""

    low_nats: float
    high_nats: float


class Threshold(Record):
    """The tau of one rule."""

    #: `fixed`, `gap`, `otsu`, `mixture` or `noise_floor`.
    method: str
    #: None: the rule sees no regime.
    tau_nats: float | None
    #: Standard deviation of a Gaussian latent whose entropy is tau, in units of the latents.
    equivalent_std: float | None
    #: One sentence: how tau was found, or why there is none.
    reason: str
    #: Of tau, over the resamples in which there is one; none where most have none.
    interval: ConfidenceInterval | None
    #: Fraction of the resamples in which the rule sees a regime.
    found: float


class Dip(Record):
    """Hartigan's dip of the entropies: evidence that there are two groups of latents."""

    #: Largest distance of their distribution from the nearest unimodal one, 0 to 0.25.
    dip: float
    #: Of the dip under a uniform distribution.
    p_value: float
    #: Latents that the smaller of two groups needs, however far apart they are, for p < 0.05.
    smallest_group: int | None


class MixedScore(Record):
    """The signals by which one latent might be mixed: each larger for a mixed one, if it works."""

    latent: int
    #: Entropy and variance of the mean representation, which cannot tell mixed from active.
    mean_entropy_nats: float
    var_of_mean: float
    #: Entropy of the variance representation, at the kernel width 0.1; this and the next two are
    #: none for a deterministic autoencoder.
    variance_entropy_nats: float | None
    #: 2 min(f, 1 - f), with the fraction f of images whose KL divergence is below epsilon.
    kl_bimodality: float | None
    #: Of the detector: entropy of the mean, and two modes of the variance representation; 0 to 1.
    two_signals: float | None
    #: Entropy on one group of the images less that on the other, at least 0; none without two
    #: groups.
    subset_entropy_nats: float | None


class Redundancy(Record):
    """How far a passive latent repeats what the active ones say."""

    latent: int
    #: Of a linear regression on all actives, for images that it was not fitted to; at most 1, and
    #: below 0 where the mean predicts better. None where there are not more images than actives.
    r_squared: float | None
    #: The active latent with the largest mutual information, as far as a search can tell.
    nearest_active: int
    #: Mutual information of order 2 with it, both in units of their standard deviation.
    information_nats: float
    #: The same for shuffled pairs: what the estimator finds where there is nothing.
    information_baseline_nats: float


class UsageScore(Record):
    """How well the score of a criterion tells what the decoder uses."""

    criterion: Criterion
    #: Probability that a used latent has a larger score than an unused one; none when all latents
    #: are used, or none.
    auc: float | None
    #: Rank correlation of score and usage; none when either is constant.
    spearman: float | None
    #: Latents whose usage exceeds the threshold.
    used: int


class Measurement(Record):
    """The whole report of one set of codes."""

    images: int
    sigma: float
    renyi_alpha: float
    #: One a latent, like everything that follows and names no criterion.
    names: tuple[str, ...]
    latents: tuple[LatentDiagnostics, ...]
    entropy_intervals: tuple[ConfidenceInterval, ...]
    #: Within the images of one label, averaged over labels; none without labels, or with so many
    #: that it was left out.
    entropy_given_label_nats: tuple[float, ...] | None
    labels: tuple[CriterionLabel, ...]
    #: By every rule, the chosen one first.
    thresholds: tuple[Threshold, ...]
    verdict: Verdict
    #: None for fewer than 4 latents.
    dip: Dip | None
    agreement: tuple[Agreement, ...]
    mixed: tuple[MixedScore, ...]
    #: One a passive latent that is not constant; empty without active ones.
    redundancy: tuple[Redundancy, ...]
    #: Empty without usage.
    usage: tuple[UsageScore, ...]
    #: Why the verdict is what it is, with the margins, in one paragraph, and the remarks.
    explanation: str
    #: What is unusual about the codes, what of the report it concerns, and what was left out or
    #: sampled: sentences. Reports of earlier versions have none.
    remarks: tuple[str, ...] = ()
