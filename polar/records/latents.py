"""The measures of latents at an evaluation, and the labels and the verdict that follow."""

from enum import StrEnum

from polar.records.record import Record


class Label(StrEnum):
    """What a criterion says about a latent."""

    ACTIVE = "active"
    PASSIVE = "passive"
    #: Active for some images, passive for the others.
    MIXED = "mixed"
    #: The criterion does not decide.
    UNDETERMINED = "undetermined"


class Regime(StrEnum):
    """The regime of a whole latent space."""

    #: The model explains nothing, and training has not settled: nothing is known yet.
    UNTRAINED = "untrained"
    #: The model explains nothing, and training has settled; or codes without an active latent.
    COLLAPSED = "collapsed"
    #: No latent is passive.
    UNDER_REGULARISED = "under_regularised"
    #: At least one latent is passive, but the space is not clean; its flaws say why. All latents
    #: may be passive, where entropies see nothing of what the decoder uses.
    FORMING = "forming"
    #: Bare codes with latents of both kinds, between which there is a gap; nothing is known of a
    #: decoder. Runs of science version 2 and earlier had this regime where P >= 0.5, and the
    #: verdict by P still has it there.
    POLARISED = "polarised"
    #: Latents of both kinds exist and are apart, no active latent is idle, and the active latents
    #: alone carry what the model explains.
    CLEAN = "clean"


class Flaw(StrEnum):
    """What keeps a latent space with a passive latent from being clean."""

    #: The decoder hardly uses a latent that is active by its entropy.
    IDLE = "idle"
    #: The passive latents carry a part of what the model explains.
    LEAK = "leak"
    #: No gap separates the weakest active latent from the strongest passive latent.
    BLURRED = "blurred"


class LatentMeasures(Record):
    """The measures of one latent at one evaluation; n is the number of images evaluated."""

    latent: int
    #: Matrix-based Renyi entropy of the mean representation as it is, 0 to ln n: by the absolute
    #: ruler, as in the paper.
    entropy_nats: float
    #: The entropy that label and verdict go by, in units of the ruler. By the scaled ruler it is
    #: the entropy of (mean - prior's mean) / prior's std; without a prior, that of the mean /
    #: largest std of a latent.
    judged_entropy_nats: float
    #: Entropy of the mean representation conditional on u; none without u.
    entropy_given_u_nats: float | None = None
    #: Bound on the difference between the computed judged entropy and its definition.
    entropy_error_bound_nats: float
    #: Judged entropy divided by ln n, 0 to 1.
    entropy_relative: float
    #: Standard deviation of the Gaussian that has the judged entropy, in units of the ruler.
    equivalent_std: float
    #: Mutual information of order 2 between image and mean representation; none if not measured:
    #: a run measures it at the end, at the powers of four from step 256 on, and at named epochs.
    information_nats: float | None = None
    #: The same for shuffled pairs, which the estimator returns where no information is shared.
    information_baseline_nats: float | None = None
    #: Entropy of order 2 of the mean representation, minus the information.
    information_residual_nats: float | None = None
    mean_of_mean: float
    var_of_mean: float
    #: This measure and all that follow are none for a deterministic autoencoder.
    mean_of_variance: float | None
    var_of_variance: float | None
    #: KL divergence of the posterior from the model's prior, mean over images: the sum of the next
    #: two fields.
    kl_nats: float | None
    kl_mean_part_nats: float | None
    kl_variance_part_nats: float | None


class LatentDiagnostics(LatentMeasures):
    """The measures of one latent, with the label that the verdict goes by."""

    label: Label
    #: Usage: the rise of the reconstruction loss, nats per image, when the latent is replaced by
    #: its mean, for an iVAE with a learned prior mean by its mean given u. This field and the next
    #: are none for bare codes, and for runs of earlier versions, which did not measure usage at
    #: evaluations.
    usage_nats: float | None = None
    #: Whether the latent is active by its entropy, but has less than 0.2 % of the summed usage.
    is_idle: bool | None = None


class Verdict(Record):
    """What regime a latent space is in, and the numbers that say so.

    Verdicts of science version 2 and earlier went by P alone. Their R decoded the means
    of the posteriors and was never below 0, and what they did not measure is none.
    """

    regime: Regime
    #: What keeps a forming space from being clean; empty for all other regimes.
    flaws: tuple[Flaw, ...]
    #: The verdict by P, so by the judged entropies alone: polarised from P = 0.5. The threshold
    #: is ours; the paper, whose entropies these are, names none.
    paper_regime: Regime
    #: Threshold: active is what has more entropy than a Gaussian of this std, in units of the
    #: ruler; none in verdicts of earlier versions, whose threshold was set in nats.
    tau_std: float | None
    #: The entropy of that Gaussian, for the images, width and order of this measurement.
    tau_nats: float
    n_active: int
    n_passive: int
    #: P = (mean H of the active - mean H of the passive latents) / max H, where H is the entropy;
    #: 0 to 1, and 0 when a group is empty.
    polarisation: float
    #: The least entropy of an active latent minus the largest of a passive latent; none when
    #: either group is empty.
    margin_nats: float | None
    #: Equivalent std of the weakest active latent / that of the strongest passive latent; none
    #: when either group is empty, or the passive latents are constant.
    gap_factor: float | None
    #: R: part of the explainable reconstruction loss that the model explains, at most 1, below 0
    #: where the mean image is better. This field and all that follow are none for bare codes.
    explained: float | None
    #: Standard error of R over the images.
    explained_se: float | None
    #: R of samples of an iVAE's prior, which know u and nothing of the image; none without u.
    explained_by_prior: float | None
    #: Whether R is below 0.05, or not above 0 by two standard errors.
    explains_nothing: bool | None
    #: Part of R that the active latents carry alone; none where the model explains nothing.
    sufficiency: float | None
    #: Number of idle latents.
    n_idle: int | None
    #: C = P * R, and 0 where R is negative.
    clean_polarisation: float | None
    #: Whether labels, entropies and R had settled by this evaluation.
    settled: bool | None
