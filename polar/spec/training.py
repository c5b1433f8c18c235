"""How the model is trained and how its latents are measured."""

from typing import Annotated, Literal

from pydantic import Field

from polar.spec.fields import FEWEST_IMAGES, INTEGRAL, MOST_INTEGER, Integer, SpecPart

MOST_STEPS = 10_000_000
#: Width of the entropy's kernel, in units of the latents.
DEFAULT_SIGMA = 0.5
#: Order of the Renyi entropy.
DEFAULT_RENYI_ALPHA = 1.01
#: Threshold on the entropy, in nats: a latent is active above it.
DEFAULT_TAU = 0.25
Epoch = Annotated[int, Field(strict=True, ge=1, le=MOST_STEPS), INTEGRAL]


class TrainingSpec(SpecPart):
    """How the model is trained: Adam, for a number of steps."""

    steps: Integer = Field(3000, ge=1, le=MOST_STEPS)
    #: Images in each step; 64 for digits.
    batch_size: Integer = Field(128, ge=1, le=65_536)
    learning_rate: float = Field(1e-3, strict=True, gt=0, le=1)
    #: Steps between checkpoints: the most that a killed run has to repeat.
    checkpoint_every: Integer = Field(500, ge=1, le=MOST_INTEGER)


class DiagnosticsSpec(SpecPart):
    """How the latents are measured."""

    #: Evaluations at log-spaced steps, the last at the end of training.
    evaluations: Integer = Field(16, ge=2, le=1000)
    #: Evaluations after these epochs instead; the end is always evaluated.
    epochs: tuple[Epoch, ...] | None = Field(None, min_length=1, max_length=1000)
    #: Most images of the fixed evaluation subset.
    images: Integer = Field(10_000, ge=FEWEST_IMAGES, le=10_000)
    #: Kernel width of the entropy, the same for all latents, in units of the latent.
    sigma: float = Field(DEFAULT_SIGMA, strict=True, ge=1e-6, le=1e6)
    #: Order of the Renyi entropy; below 0.75 rounding decides the digits that a run promises.
    renyi_alpha: float = Field(DEFAULT_RENYI_ALPHA, strict=True, ge=0.75, le=100)
    #: A latent is active when its entropy exceeds this many nats. The entropy of 10,000 images is
    #: at most 9.2.
    tau: float = Field(DEFAULT_TAU, strict=True, ge=0, le=10)
    #: How the verdict gets its threshold: `tau` as it stands, or from the entropies themselves;
    #: `tau` is used then where they do not show two groups.
    tau_rule: Literal["fixed", "gap", "otsu", "mixture"] = "fixed"
    #: Images for the mutual information between image and latent; 0 to leave it out.
    information_images: Integer = Field(1000, ge=0, le=10_000)


class DownstreamSpec(SpecPart):
    """Logistic regression of the images' factors on the latents, the most entropic first."""

    #: Factors to predict, by default all that are not in the u of an iVAE.
    factors: tuple[str, ...] | None = Field(None, min_length=1, max_length=8)
    #: Number of splits into train and test images, for the intervals.
    splits: Integer = Field(3, ge=1, le=20)
    #: Whether factors of u may be predicted too, although the latents depend on them.
    allow_leak: bool = Field(False, strict=True)
