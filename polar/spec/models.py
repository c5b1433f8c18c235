"""Which model to train, and its weight: the strength of the regularisation, which sweeps vary.

All of ours have five convolutions and five transposed convolutions. The weights beta and alpha
stand against a reconstruction loss that is summed over pixels, lambda and gamma against a loss
that is averaged over pixels, as published.
"""

from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    Self,
    TypeVar,
    get_args,
    runtime_checkable,
)

from pydantic import AfterValidator, Field, JsonValue

from polar.spec.fields import INTEGRAL, Digest, Integer, SpecPart, Spread, Weight

Width = Annotated[int, Field(strict=True, ge=1, le=1024), INTEGRAL]


class BernoulliSpec(SpecPart):
    """Pixels are probabilities; grey ones too."""

    name: Literal["bernoulli"] = "bernoulli"


class GaussianSpec(SpecPart):
    """Pixels have Gaussian noise of one fixed standard deviation."""

    name: Literal["gaussian"] = "gaussian"
    #: Standard deviation of a pixel, which lies in [0, 1].
    std: Spread = 0.1


@runtime_checkable
class Term(Protocol):
    """A term of a loss: a number, an array or a tensor."""

    def __add__(self, other: Self, /) -> Self: ...

    def __mul__(self, factor: float | Self, /) -> Self: ...

    def __truediv__(self, divisor: int, /) -> Self: ...


T = TypeVar("T", bound=Term)

LikelihoodSpec = Annotated[BernoulliSpec | GaussianSpec, Field(discriminator="name")]


def _distinct(factors: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(factors)) < len(factors):
        raise ValueError("a factor is listed twice in u; list each once")
    return factors


def _storable(fields: dict[str, Any]) -> dict[str, Any]:
    """Refuses what Postgres, or a reader of JSON, cannot take."""
    level: list[Any] = [fields]
    for _ in range(DEEPEST + 1):
        texts = [each for each in level if isinstance(each, str)]
        if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in "".join(texts)):
            raise ValueError("a text of the fields has a NUL or half a character")
        inner = [each.items() for each in level if isinstance(each, dict)]
        level = [part for items in inner for pair in items for part in pair] + [
            part for each in level if isinstance(each, list) for part in each
        ]
        if not level:
            return fields
    raise ValueError(f"the fields are nested more than {DEEPEST} deep")


#: Deepest nesting of the fields of a class.
DEEPEST = 10

FactorsOfU = Annotated[tuple[str, ...], Field(max_length=8), AfterValidator(_distinct)]


class AnyModelSpec(SpecPart):
    """What all models share, ours and those of users."""

    #: Name of the weight as users write it; None for a model without a weight.
    weight_name: ClassVar[str | None] = None
    #: Whether the encoder gives a variance, and so a KL divergence.
    is_variational: ClassVar[bool] = False

    name: str
    #: Latents; 16 for digits and mnist.
    latent_dim: Integer = Field(32, ge=1, le=1024)

    @property
    def label(self) -> str:
        """What the model is called in MLflow and in figures."""
        return self.name

    def with_weight(self, weight: float) -> Self:
        """The same model with another weight; the model must have a weight."""
        assert self.weight_name is not None
        return type(self).model_validate({**self.model_dump(), self.weight_name: weight})

    def total(self, reconstruction: T, penalty: T, weight: float | T, pixels: int) -> T:
        """The loss that training minimises, as a weighted sum of its terms.

        Args:
            reconstruction: Reconstruction loss, nats per image, summed over pixels.
            penalty: What the weight multiplies: KL divergence, volume or squared codes.
            weight: The weight to use, which need not be that of the spec; 0 without a weight.
            pixels: Number of values of an image, three for each pixel in colour.

        Returns:
            Reconstruction + weight * penalty in nats for a variational model, and
            reconstruction / pixels + weight * penalty for the others.
        """
        return reconstruction / (1 if self.is_variational else pixels) + penalty * weight


class ConvolutionalSpec(AnyModelSpec):
    """What all of our models share."""

    #: Channels of the five convolutions; the decoder mirrors them.
    widths: tuple[Width, Width, Width, Width, Width] = (32, 32, 64, 64, 128)
    #: Likelihood of the pixels; the reconstruction loss is its negative logarithm.
    likelihood: LikelihoodSpec = BernoulliSpec()

    @property
    def weight(self) -> float | None:
        """Strength of the regularisation; None for a model without a weight."""
        if self.weight_name is None:
            return None
        return float(self.model_dump()[self.weight_name])


class BetaVAESpec(ConvolutionalSpec):
    """The beta-VAE: a Gaussian posterior against the prior N(0, 1)."""

    weight_name: ClassVar[str | None] = "beta"
    is_variational: ClassVar[bool] = True

    name: Literal["beta_vae"] = "beta_vae"
    #: Weight of the KL divergence, summed over latents.
    beta: Weight = 1.0


class IVAESpec(ConvolutionalSpec):
    """The identifiable VAE: encoder and prior are told u, some factors of the image."""

    weight_name: ClassVar[str | None] = "alpha"
    is_variational: ClassVar[bool] = True

    name: Literal["ivae"] = "ivae"
    #: Weight of the KL divergence against the conditional prior, summed over latents.
    alpha: Weight = 1.0
    #: Names of the factors that make up u; by default the dataset's first.
    u: FactorsOfU = Field(min_length=1)
    #: Whether the prior's mean depends on u too, as its variance does, or is 0.
    prior_mean: Literal["learned", "fixed"] = "learned"


class FixedVarianceVAESpec(ConvolutionalSpec):
    """A VAE whose posterior has one fixed variance: its mean can collapse while the KL is large.

    Reference: Takida et al. (2022), https://arxiv.org/abs/2102.08663
    """

    weight_name: ClassVar[str | None] = "beta"
    is_variational: ClassVar[bool] = True

    name: Literal["fixed_variance_vae"] = "fixed_variance_vae"
    #: Weight of the KL divergence, summed over latents.
    beta: Weight = 1.0
    #: Variance of the posterior of every latent.
    variance: Spread = 0.1


class LVAESpec(ConvolutionalSpec):
    """The Least-Volume autoencoder: deterministic, with a 1-Lipschitz decoder."""

    weight_name: ClassVar[str | None] = "lambda"

    name: Literal["lv_ae"] = "lv_ae"
    #: Weight of the volume: the geometric mean of (std + eta) over the latents.
    lam: Weight = Field(1e-3, alias="lambda")
    #: Keeps the volume's gradient finite where a latent's std vanishes.
    eta: float = Field(1.0, strict=True, ge=0, le=1e6)


class L2AESpec(ConvolutionalSpec):
    """The L2-regularised autoencoder: deterministic."""

    weight_name: ClassVar[str | None] = "gamma"

    name: Literal["l2_ae"] = "l2_ae"
    #: Weight of the squared codes, summed over latents, mean over images.
    gamma: Weight = 1e-3


class AESpec(ConvolutionalSpec):
    """The plain autoencoder: deterministic, nothing but the reconstruction loss."""

    name: Literal["ae"] = "ae"


class OwnModelSpec(AnyModelSpec):
    """A model of the user's own: a Python class that agents import where their owner allows it.

    Its loss is its reconstruction loss + weight * its penalty, both in nats per image.
    """

    weight_name: ClassVar[str | None] = "weight"
    is_variational: ClassVar[bool] = True

    name: Literal["own"] = "own"
    #: Where the class is: `package.module:Class`, or its name among the entry points of the group
    #: `polar.models` of an installed package.
    kind: str = Field(
        alias="class",
        strict=True,
        max_length=200,
        pattern=r"^[A-Za-z_][\w.-]*(:[A-Za-z_]\w*)?$",
    )
    #: Likelihood of the pixels; the reconstruction loss is its negative logarithm.
    likelihood: LikelihoodSpec = BernoulliSpec()
    #: What the penalty is multiplied with.
    weight: Weight = 1.0
    #: Names of the factors that the model is told as u; none by default.
    u: FactorsOfU = ()
    #: Digest of the code of the class's package, so that changed code is another model; filled in
    #: from what the agents, or this machine, have. None where nobody knows.
    code: Digest | None = None
    #: The fields of the class's own part of the spec, which the class itself checks.
    fields_of_class: Annotated[dict[str, JsonValue], AfterValidator(_storable)] = Field(
        {}, alias="fields", max_length=100
    )

    @property
    def label(self) -> str:
        """Package and class, or `own` and the shorter name, which may be a name of ours too."""
        place, _, name = self.kind.rpartition(":")
        return f"{place.partition('.')[0] or 'own'}.{name}"


_AnyModel = (
    BetaVAESpec | IVAESpec | FixedVarianceVAESpec | LVAESpec | L2AESpec | AESpec | OwnModelSpec
)
ModelSpec = Annotated[_AnyModel, Field(discriminator="name")]

#: Every kind of model by its name.
MODELS: dict[str, type[_AnyModel]] = {
    kind.model_fields["name"].default: kind for kind in get_args(_AnyModel)
}
