"""How the model is trained and how its latents are measured."""

from typing import Literal

from pydantic import Field

from polar.spec.part import FEWEST_IMAGES, PositiveInt, SpecPart


class TrainingSpec(SpecPart):
    """How the model is trained: Adam, for a number of steps."""

    steps: int = Field(3000, strict=True, ge=1, le=10_000_000)
    #: Images a step; 64 for digits.
    batch_size: int = Field(128, strict=True, ge=1, le=65_536)
    learning_rate: float = Field(1e-3, strict=True, gt=0, le=1)
    #: Steps between checkpoints; a run that is killed repeats at most so many.
    checkpoint_every: PositiveInt = 500


class DiagnosticsSpec(SpecPart):
    """How the latents are measured."""

    #: Evaluations at log-spaced steps, the last at the end of training.
    evaluations: int = Field(16, strict=True, ge=2, le=1000)
    #: Evaluate after these epochs instead (the end is always evaluated).
    epochs: tuple[PositiveInt, ...] | None = Field(None, min_length=1, max_length=1000)
    #: Images of the fixed evaluation subset, at most.
    images: int = Field(10_000, strict=True, ge=FEWEST_IMAGES, le=10_000)
    #: Kernel width of the entropy: one for all latents, in units of the latent.
    sigma: float = Field(0.5, strict=True, ge=1e-6, le=1e6)
    #: Order of the Renyi entropy; below 0.75 rounding decides the digits that a run promises.
    renyi_alpha: float = Field(1.01, strict=True, ge=0.75, le=100)
    #: A latent is active when its entropy exceeds this many nats; that of 10,000 images is at most
    #: 9.2.
    tau: float = Field(0.25, strict=True, ge=0, le=10)
    #: How the verdict finds its threshold: `tau` as it stands, or from the entropies themselves
    #: (then `tau` stands in where they show no two groups).
    tau_rule: Literal["fixed", "gap", "otsu", "mixture"] = "fixed"
    #: Images of the mutual information between image and latent; 0 for none.
    information_images: int = Field(1000, strict=True, ge=0, le=10_000)


class DownstreamSpec(SpecPart):
    """Logistic regression of the images' factors on the latents, the most entropic first."""

    #: Which factors to predict; by default all that are not in an iVAE's u.
    factors: tuple[str, ...] | None = Field(None, min_length=1, max_length=8)
    #: Splits into train and test images, for the intervals.
    splits: int = Field(3, strict=True, ge=1, le=20)
    #: Predict factors of u too, which the latents were given.
    allow_leak: bool = Field(False, strict=True)
