"""What is measured of latents at one evaluation, and what is decided about them."""

from enum import StrEnum

from polar.records.record import Record


class Label(StrEnum):
    """What one criterion says of one latent."""

    ACTIVE = "active"
    PASSIVE = "passive"
    #: Active for some images, passive for the others.
    MIXED = "mixed"
    #: The criterion does not say.
    UNDETERMINED = "undetermined"


class Regime(StrEnum):
    """What a whole latent space does."""

    #: No latent is active.
    COLLAPSED = "collapsed"
    #: No latent is passive.
    UNDER_REGULARISED = "under_regularised"
    #: Both kinds exist, clearly apart: polarisation of at least 0.5.
    POLARISED = "polarised"
    #: Both kinds exist, not yet apart.
    FORMING = "forming"


class LatentDiagnostics(Record):
    """The measures of one latent at one evaluation; n is the number of images evaluated."""

    latent: int
    #: Matrix-based Renyi entropy of the mean representation, 0 to ln n.
    entropy_nats: float
    #: The one that label and verdict go by: of (mean - prior's mean) / prior's std for an iVAE,
    #: since u alone moves the mean; else entropy_nats.
    judged_entropy_nats: float
    #: Conditional on u; none without u.
    entropy_given_u_nats: float | None = None
    #: The judged entropy is within this of its definition.
    entropy_error_bound_nats: float
    #: Judged entropy / ln n, 0 to 1.
    entropy_relative: float
    #: Standard deviation of the Gaussian that has the judged entropy.
    equivalent_std: float
    #: Between image and mean representation, of order 2; none where it is not measured.
    information_nats: float | None = None
    #: The same for shuffled pairs: what the estimator finds where there is nothing.
    information_baseline_nats: float | None = None
    #: Entropy of order 2 of the mean, given the image; with the information it makes the whole.
    information_residual_nats: float | None = None
    mean_of_mean: float
    var_of_mean: float
    #: This and all below: none for a deterministic autoencoder.
    mean_of_variance: float | None
    var_of_variance: float | None
    #: KL of the posterior from the model's prior, mean over images: the sum of the next two.
    kl_nats: float | None
    kl_mean_part_nats: float | None
    kl_variance_part_nats: float | None
    label: Label


class Verdict(Record):
    """Whether a latent space is polarised, and by how much."""

    regime: Regime
    #: Threshold on the entropy: active above, passive at or below.
    tau_nats: float
    n_active: int
    n_passive: int
    #: (mean H of the actives - mean H of the passives) / max H, 0 to 1; 0 when a side is empty.
    polarisation: float
    #: Least entropy of an active - largest of a passive; none when a side is empty.
    margin_nats: float | None
    #: Part of the explainable reconstruction loss that decoding the mean explains, 0 to 1; like
    #: the next two, none where codes were measured without their decoder.
    explained: float | None
    #: polarisation * explained.
    clean_polarisation: float | None
    #: Explained is below 0.02: the decoder draws the mean image.
    no_reconstruction_gain: bool | None
