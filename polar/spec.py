"""What a researcher submits: one frozen, validated, hashable specification of an experiment.

Imports no torch and no numpy, so that the service, the queue and the agents can read specs.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from polar.errors import InvalidInput

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
        for part, defaults in DATASET_DEFAULTS.get(str(name), {}).items():
            given = _as_mapping(data.get(part, {}))
            if isinstance(given, Mapping) and (part in data or part == "training"):
                filled[part] = {**defaults, **given}
        return filled

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
            raise ValueError(
                f"training.batch_size {batch} is larger than dataset.images {images}; "
                f"allowed: 1 to {images}"
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
            data = yaml.load(text, _Yaml12Loader)
            return cls.model_validate(data)
        except yaml.YAMLError as error:
            raise InvalidInput(f"the spec is neither YAML nor JSON: {error}") from error
        except ValidationError as error:
            lines = "\n".join(f"  {fault}" for fault in faults_of(error))
            raise InvalidInput(f"the spec has faults:\n{lines}") from error

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """Read a spec from a YAML or JSON file.

        Raises:
            InvalidInput: the file cannot be read, or the spec has faults.
        """
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"cannot read the spec file {path}: {error}") from error
        return cls.from_yaml(text)

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


def _as_mapping(part: Any) -> Any:  # noqa: ANN401
    """What was given of a part, whether as a mapping or as an object of ours."""
    if not isinstance(part, BaseModel):
        return part
    named = {"name": part.name} if isinstance(part, DigitsSpec | MnistSpec | BetaVAESpec) else {}
    return {**named, **part.model_dump(exclude_unset=True)}


class Fault(BaseModel):
    """One thing that is wrong with a submitted spec."""

    model_config = ConfigDict(frozen=True)

    #: JSON pointer into the spec, such as `/model/beta`.
    pointer: str
    #: What is wrong and what is allowed, in words.
    message: str
    #: Pydantic's stable name of the kind of fault.
    type: str
    #: The value that was given, shortened, as text; none for a missing field.
    value: str | None
    #: The nearest name that exists, for a name that does not.
    suggestion: str | None

    def __str__(self) -> str:
        """The fault on one line."""
        hint = f" Did you mean {self.suggestion!r}?" if self.suggestion else ""
        given = f" (given: {self.value})" if self.value is not None else ""
        return f"{self.pointer or '/'}: {self.message}{given}.{hint}"


def faults_of(error: ValidationError) -> list[Fault]:
    """All faults that pydantic found in a spec, each with pointer, range and suggestion."""
    return [
        Fault(
            pointer="".join(f"/{_escaped(part)}" for part in _without_tags(detail["loc"])),
            message=detail["msg"].removeprefix("Value error, "),
            type=detail["type"],
            value=None if detail["type"] == "missing" else _shortened(detail["input"]),
            suggestion=_suggestion(detail["type"], detail["loc"], detail.get("ctx", {})),
        )
        for detail in error.errors(include_url=False)
    ]


def _without_tags(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The path without a union's tag, such as `mnist`: pydantic adds it, the spec has no such key."""
    if len(loc) > 1 and loc[0] == "dataset" and loc[1] in DATASET_DEFAULTS:
        return (loc[0], *loc[2:])
    return loc


def _escaped(part: int | str) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _shortened(value: object, length: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def _suggestion(kind: str, loc: tuple[int | str, ...], context: dict[str, Any]) -> str | None:
    if kind == "extra_forbidden":
        parts: tuple[type[BaseModel], ...] = (
            ExperimentSpec, DigitsSpec, BetaVAESpec, TrainingSpec, DiagnosticsSpec,
        )  # fmt: skip
        word, known = str(loc[-1]), sorted({name for part in parts for name in part.model_fields})
    elif kind == "union_tag_invalid":
        word, known = str(context["tag"]), list(DATASET_DEFAULTS)
    else:
        return None
    return next(iter(difflib.get_close_matches(word, known, n=1)), None)
