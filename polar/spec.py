"""What a researcher submits: one frozen, validated, hashable specification of an experiment.

Imports no torch and no numpy, so that the service, the queue and the agents can read specs.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from polar.errors import InvalidInput
from polar.faults import Fault, find_faults

#: Raised whenever the same spec, seed and data would give other numbers than before.
SCIENCE_VERSION = 1

PositiveFloat = Annotated[float, Field(strict=True, gt=0)]
PositiveInt = Annotated[int, Field(strict=True, gt=0)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
Width = Annotated[int, Field(strict=True, ge=1, le=1024)]


class SpecPart(BaseModel):
    """Base of every part of a spec: frozen, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DigitsSpec(SpecPart):
    """The 1,797 handwritten digits that ship inside scikit-learn, upscaled to 32x32."""

    name: Literal["digits"] = "digits"
    #: How many images to train on; a fixed subset of them when fewer than all.
    images: int = Field(1797, strict=True, ge=2, le=1797)


class MnistSpec(SpecPart):
    """The 60,000 training images of MNIST, padded to 32x32."""

    name: Literal["mnist"] = "mnist"
    #: How many images to train on; a fixed subset of them when fewer than all.
    images: int = Field(60_000, strict=True, ge=2, le=60_000)


DatasetSpec = Annotated[DigitsSpec | MnistSpec, Field(discriminator="name")]


class BetaVAESpec(SpecPart):
    """The beta-VAE: five convolutions, five transposed convolutions, a Gaussian posterior."""

    #: The field that holds the weight, which sweeps vary.
    weight_field: ClassVar[str] = "beta"

    name: Literal["beta_vae"] = "beta_vae"
    #: Weight of the KL divergence (summed over latents) against the reconstruction loss
    #: (Bernoulli, summed over pixels).
    beta: float = Field(1.0, strict=True, ge=0, le=1e6)
    #: Latents; 16 for digits and mnist.
    latent_dim: int = Field(32, strict=True, ge=1, le=1024)
    #: Channels of the five convolutions; the decoder mirrors them.
    widths: tuple[Width, Width, Width, Width, Width] = (32, 32, 64, 64, 128)


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
    images: int = Field(10_000, strict=True, ge=2, le=10_000)
    #: Kernel width of the entropy: one for all latents, in units of the latent.
    sigma: PositiveFloat = 0.5
    #: Order of the Renyi entropy.
    renyi_alpha: PositiveFloat = 1.01
    #: A latent is active when its entropy exceeds this many nats.
    tau: float = Field(0.25, strict=True, ge=0)


#: Defaults that depend on the dataset; they stand in for the class defaults above.
DATASET_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "digits": {"model": {"latent_dim": 16}, "training": {"batch_size": 64}},
    "mnist": {"model": {"latent_dim": 16}, "training": {}},
}


class ExperimentSpec(SpecPart):
    """One configuration and the seeds to run it with.

    A validated spec is resolved: every default is filled in, so that what is stored, hashed and
    logged is complete.
    """

    #: A label for people; not part of the hash.
    name: str = Field("", strict=True, max_length=100)
    dataset: DatasetSpec
    model: BetaVAESpec
    training: TrainingSpec = TrainingSpec()
    diagnostics: DiagnosticsSpec = DiagnosticsSpec()
    #: One run each.
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, max_length=1000)
    #: Which devices may take the runs; not part of the hash.
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults_of_the_dataset(cls, data: Any) -> Any:  # noqa: ANN401
        if not isinstance(data, Mapping):
            return data
        dataset = _as_mapping(data.get("dataset"))
        name = dataset.get("name") if isinstance(dataset, Mapping) else None
        filled = dict(data)
        known = DATASET_DEFAULTS.get(name, {}) if isinstance(name, str) else {}
        for part, defaults in known.items():
            given = _as_mapping(data.get(part, {}))
            if isinstance(given, Mapping) and (part in data or part == "training"):
                filled[part] = {**defaults, **given}
        return filled

    @field_validator("name")
    @classmethod
    def _a_name_is_one_line(cls, name: str) -> str:
        if not name.isprintable():  # nor could Postgres store a NUL
            raise ValueError("a name is one line of printable characters")
        return name

    @field_validator("seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is listed twice; every seed is one run, so list each once")
        return seeds

    @model_validator(mode="after")
    def _a_batch_fits_into_the_dataset(self) -> Self:
        batch, images = self.training.batch_size, self.dataset.images
        if batch > images:
            raise PydanticCustomError(
                "batch_too_large",
                "training.batch_size {value} is larger than dataset.images {images}",
                {
                    "pointer": "/training/batch_size",
                    "value": batch,
                    "images": images,
                    "allowed": f"an integer from 1 to {images}",
                },
            )
        return self

    def for_seed(self, seed: int) -> Self:
        """The spec of one run: the same configuration with one seed."""
        return self.model_copy(update={"seeds": (seed,)})

    def content_hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON of everything that decides the numbers."""
        content = self.model_dump(mode="json", exclude={"name", "device"})
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read a spec from YAML or JSON text.

        Raises:
            InvalidInput: it is not YAML, or the spec has faults; every fault is in the message.
        """
        try:
            return cls.model_validate(read_yaml(text))
        except ValidationError as error:
            lines = "\n".join(f"  {fault}" for fault in faults_of(error))
            raise InvalidInput(f"the spec has faults:\n{lines}") from error

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """Read a spec from a YAML or JSON file.

        Raises:
            InvalidInput: the file cannot be read, or the spec has faults.
        """
        return cls.from_yaml(read_spec_file(path))

    def to_yaml(self) -> str:
        """The complete spec as YAML text that `from_yaml` reads back to an equal spec."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


class _Yaml12Loader(yaml.SafeLoader):
    """PyYAML reads `1e-3` as text, since YAML 1.1 wants `1.0e-3`; YAML 1.2 and JSON do not."""


_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def read_spec_file(path: Path | str) -> str:
    """The text of a spec file.

    Raises:
        InvalidInput: the file cannot be read.
    """
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read the spec file {path}: {error}") from error


def read_yaml(text: str) -> Any:  # noqa: ANN401
    """What a YAML or JSON text says, as plain data that nobody has validated.

    Raises:
        InvalidInput: it is neither.
    """
    try:
        return yaml.load(text, _Yaml12Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-02-30
        raise InvalidInput(f"the spec is neither YAML nor JSON: {error}") from error


def _as_mapping(part: Any) -> Any:  # noqa: ANN401
    """What was given of a part, whether as a mapping or as an object of ours."""
    if not isinstance(part, BaseModel):
        return part
    named = {"name": part.name} if isinstance(part, DigitsSpec | MnistSpec | BetaVAESpec) else {}
    return {**named, **part.model_dump(exclude_unset=True)}


def faults_of(error: ValidationError) -> list[Fault]:
    """All faults that pydantic found in a spec, each with pointer, range and suggestion."""
    return find_faults(error.errors(include_url=False), ExperimentSpec.model_json_schema())
