"""How the model is trained and how its latents are measured."""

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import Field

from polar.spec.fields import FEWEST_IMAGES, INTEGRAL, MOST_INTEGER, Integer, SpecPart

MOST_STEPS = 10_000_000
#: Width of the entropy's kernel, in units of the ruler.
DEFAULT_SIGMA = 0.5
#: Order of the Renyi entropy.
DEFAULT_RENYI_ALPHA = 1.01
#: Threshold: a latent is active when it has more entropy than a Gaussian of this standard
#: deviation, in units of the ruler. Chosen by us, because at the default width and order it is
#: 0.25 nats, the threshold of earlier versions: a little more than the std of 0.1 from which on
#: `active_units` calls a latent active.
DEFAULT_TAU_STD = 0.134
#: The unit in which entropies are measured.
Ruler: TypeAlias = Literal["scaled", "absolute"]
RULERS: tuple[Ruler, ...] = get_args(Ruler)
#: The precision in which networks compute.
Precision: TypeAlias = Literal["float32", "bfloat16"]
Epoch = Annotated[int, Field(strict=True, ge=1, le=MOST_STEPS), INTEGRAL]


class WeightWarmUp(SpecPart):
    """How the weight rises to its value at the start of training."""

    #: Share of the steps over which it rises.
    fraction: float = Field(0.5, strict=True, gt=0, le=1)
    #: Whether it rises linearly from 0, or by equal factors from a thousandth of its value.
    scale: Literal["linear", "logarithmic"] = "linear"


class Stage(SpecPart):
    """A training at another weight, from whose last state the next training goes on."""

    #: Its weight, in place of the model's.
    weight: float = Field(strict=True, ge=0, le=1e6)
    steps: Integer = Field(ge=1, le=MOST_STEPS)


class TrainingSpec(SpecPart):
    """How the model is trained: Adam, for a number of steps."""

    steps: Integer = Field(3000, ge=1, le=MOST_STEPS)
    #: Images in each step; 64 for digits.
    batch_size: Integer = Field(128, ge=1, le=65_536)
    learning_rate: float = Field(1e-3, strict=True, gt=0, le=1)
    #: Steps between checkpoints: the most that a killed run has to repeat.
    checkpoint_every: Integer = Field(500, ge=1, le=MOST_INTEGER)
    #: Share of the images that training never sees, and that the end of a run is measured on too;
    #: 0 trains on all. Nothing is held out where that would be fewer than 5 images.
    held_out: float = Field(0.2, strict=True, ge=0, le=0.5)
    #: None keeps the weight at its value from the first step on. After a warm start too the weight
    #: is at its value from the first step on: it rises in the first stage alone.
    weight_warm_up: WeightWarmUp | None = None
    #: Trainings of the same network at other weights that come before, in this order. Each goes on
    #: from the network, the optimiser and the noise that the training before it has left, and
    #: counts its steps and epochs from 0. A run is evaluated after them only.
    warm_start: tuple[Stage, ...] = Field((), max_length=100)
    #: Whether training ends after its steps, or, if that is earlier, at the first evaluation at
    #: which it has settled.
    until: Literal["steps", "settled"] = "steps"
    #: The precision of convolutions and products of matrices in training. With `bfloat16` losses,
    #: weights and gradients are float32 still, and so is every evaluation.
    precision: Precision = "float32"


class DiagnosticsSpec(SpecPart):
    """How the latents are measured."""

    #: Evaluations while the number of steps doubles; the end is always evaluated.
    evaluations_per_doubling: Integer = Field(2, ge=1, le=100)
    #: Evaluations after these epochs instead; the end is always evaluated.
    epochs: tuple[Epoch, ...] | None = Field(None, min_length=1, max_length=1000)
    #: Most images of the fixed evaluation subset.
    images: Integer = Field(10_000, ge=FEWEST_IMAGES, le=10_000)
    #: The unit of the entropies. `scaled` divides the codes by the prior's scale, or without a
    #: prior by the largest standard deviation of a latent, so that labels do not depend on the
    #: scale that a decoder happens to like; `absolute` takes them as they are, as the paper does.
    ruler: Ruler = "scaled"
    #: Kernel width of the entropy, the same for all latents, in units of the ruler.
    sigma: float = Field(DEFAULT_SIGMA, strict=True, ge=1e-6, le=1e6)
    #: Order of the Renyi entropy; below 0.75 rounding decides the digits that a run promises.
    renyi_alpha: float = Field(DEFAULT_RENYI_ALPHA, strict=True, ge=0.75, le=100)
    #: A latent is active when it has more entropy than as many draws of a Gaussian with this
    #: standard deviation, in units of the ruler.
    tau_std: float = Field(DEFAULT_TAU_STD, strict=True, ge=0, le=1e6)
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
