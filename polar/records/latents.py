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

    #: No latent is active.
    COLLAPSED = "collapsed"
    #: No latent is passive.
    UNDER_REGULARISED = "under_regularised"
    #: Latents of both kinds exist, clearly apart: the polarisation is at least 0.5.
    POLARISED = "polarised"
    #: Latents of both kinds exist, but are not clearly apart yet.
    FORMING = "forming"


class LatentMeasures(Record):
    """The measures of one latent at one evaluation; n is the number of images evaluated."""

    latent: int
    #: Matrix-based Renyi entropy of the mean representation, 0 to ln n.
    entropy_nats: float
    #: The entropy that label and verdict go by. For an iVAE it is the entropy of (mean - prior's
    #: mean) / prior's std, because u alone moves the mean; for other models it is entropy_nats.
    judged_entropy_nats: float
    #: Entropy of the mean representation conditional on u; none without u.
    entropy_given_u_nats: float | None = None
    #: Bound on the difference between the computed judged entropy and its definition.
    entropy_error_bound_nats: float
    #: Judged entropy divided by ln n, 0 to 1.
    entropy_relative: float
    #: Standard deviation of the Gaussian that has the judged entropy.
    equivalent_std: float
    #: Mutual information of order 2 between image and mean representation; none if not measured.
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


class Verdict(Record):
    """Whether a latent space is polarised, and by how much."""

    regime: Regime
    #: Threshold on the entropy: active above, passive at or below.
    tau_nats: float
    n_active: int
    n_passive: int
    #: (mean H of the active - mean H of the passive latents) / max H, where H is the entropy; 0 to
    #: 1, and 0 when a group is empty.
    polarisation: float
    #: The gap between the groups: the least entropy of an active latent minus the largest of a
    #: passive latent; none when either group is empty.
    margin_nats: float | None
    #: Part of the explainable reconstruction loss that decoding the mean explains, 0 to 1. This
    #: and the next two fields are none if codes were measured without their decoder.
    explained: float | None
    #: polarisation * explained.
    clean_polarisation: float | None
    #: Whether `explained` is below 0.02, that is, the decoder draws only the mean image.
    no_reconstruction_gain: bool | None
