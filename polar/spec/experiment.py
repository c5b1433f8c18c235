"""What a researcher submits: one configuration and the seeds to run it with."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from polar.spec.datasets import (
    DATASETS,
    OWN,
    SPLIT_IMAGES,
    DatasetSpec,
    SmallNorbSpec,
)
from polar.spec.faults import nearest
from polar.spec.fields import FEWEST_IMAGES, INTEGRAL, Name
from polar.spec.misfit import misfit, raise_misfits
from polar.spec.models import IVAESpec, LVAESpec, ModelSpec, OwnModelSpec
from polar.spec.own_images import with_what_is_known
from polar.spec.own_models import known_code
from polar.spec.submitted import SubmittedSpec
from polar.spec.training import DiagnosticsSpec, DownstreamSpec, TrainingSpec

#: Raised whenever the same spec, seed and data would give other numbers than before.
SCIENCE_VERSION = 5
MOST_SEEDS = 1000

#: Fewest images of the downstream task: with fewer, a split may hold one value of a factor only.
FEWEST_PREDICTED = 50

MOST_SEED = 2**32 - 1
Seed = Annotated[int, Field(strict=True, ge=0, le=MOST_SEED), INTEGRAL]


class ExperimentSpec(SubmittedSpec):
    """One configuration and the seeds to run it with.

    A validated spec is resolved: every default is filled in, so that what is stored, hashed and
    logged is complete.
    """

    #: A label for people; not part of the hash.
    name: Name = ""
    dataset: DatasetSpec
    #: The name may be left out; the model is a beta-VAE then.
    model: ModelSpec
    training: TrainingSpec = TrainingSpec()
    diagnostics: DiagnosticsSpec = DiagnosticsSpec()
    #: None for a run without a downstream task.
    downstream: DownstreamSpec | None = None
    #: One run each.
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, max_length=MOST_SEEDS)
    #: Which devices may take the runs; not part of the hash.
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, data: Any) -> Any:  # noqa: ANN401
        if not isinstance(data, Mapping):
            return data
        # a study would otherwise have many faults, because an experiment knows none of its fields
        if "search" in data and "dataset" not in data:
            message = "this is the spec of a study; submit it with `polar study create`"
            raise PydanticCustomError("other_kind", message)
        parts = {part: _as_mapping(given) for part, given in {"training": {}, **data}.items()}
        dataset = parts.get("dataset")
        if isinstance(dataset, Mapping) and dataset.get("name") == OWN:
            parts["dataset"] = dataset = with_what_is_known(dataset)
        factors, part_defaults = _factors_and_defaults(dataset)
        model = parts.get("model")
        if isinstance(model, Mapping):
            parts["model"] = model = {"name": "beta_vae", **model}
            if model["name"] == "ivae" and factors:
                parts["model"] = {"u": [next(iter(factors))], **model}
            kind = model.get("class", model.get("kind"))
            if model["name"] == "own" and model.get("code") is None and isinstance(kind, str):
                device = str(parts.get("device", "auto"))
                parts["model"] = {**model, "code": known_code.get()(kind, device)}
        for part, defaults in part_defaults.items():
            if isinstance(parts.get(part), Mapping):
                parts[part] = {**defaults, **parts[part]}
        return parts

    @field_validator("seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is listed twice; every seed is one run, so list each once")
        return seeds

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        raise_misfits(self, _misfits(self))
        return self

    @property
    def u(self) -> tuple[str, ...]:
        """The factors that an iVAE, or a model of the user's own, is told; none for the others."""
        if not isinstance(self.model, IVAESpec | OwnModelSpec):
            return ()
        return self.model.u

    @property
    def training_images(self) -> int:
        """Number of images that the model is trained on; the others are held out."""
        held_out = int(self.dataset.images * self.training.held_out)
        return self.dataset.images - (held_out if held_out >= FEWEST_IMAGES else 0)

    @property
    def predicted_factors(self) -> tuple[str, ...]:
        """The factors of the downstream task; none without the task."""
        if self.downstream is None:
            return ()
        given = () if self.downstream.allow_leak else self.u
        return self.downstream.factors or tuple(
            factor for factor in self.dataset.factors if factor not in given
        )

    def for_seed(self, seed: int) -> Self:
        """The spec of one run: the same configuration with one seed."""
        return self.model_copy(update={"seeds": (seed,)})

    def content_hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON of everything that decides the numbers."""
        return hash_of(self.model_dump(mode="json", exclude={"name", "device"}))

    def problem_hash(self) -> str:
        """SHA-256 (hex) of the problem: the training images, and the network without its weight.

        Losses of one problem can be compared at every weight, whatever seed, learning rate and
        number of steps led to them. The content of a published dataset's files is not part of it.
        """
        model = self.model.model_dump(mode="json").items()
        return hash_of(
            {
                "dataset": self.dataset.model_dump(mode="json"),
                "held_out": self.training.held_out,
                "network": {name: part for name, part in model if name != self.model.weight_name},
            }
        )


def hash_of(content: object) -> str:
    """SHA-256 (hex) of the canonical JSON of some content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _misfits(spec: ExperimentSpec) -> Iterator[PydanticCustomError]:
    """The faults of parts that are valid alone, but do not fit together."""
    factors, images, training = spec.dataset.factors, spec.training_images, spec.training
    if isinstance(spec.dataset, SmallNorbSpec) and spec.dataset.split != "all":
        of_what = "a split of smallNORB has"
        yield from _above(spec.dataset.images, "/dataset/images", SPLIT_IMAGES, of_what)
    yield from _above(
        training.batch_size, "/training/batch_size", images, "the images that are not held out"
    )
    epochs = training.steps // max(images // training.batch_size, 1)
    for place, epoch in enumerate(spec.diagnostics.epochs or ()):
        pointer = f"/diagnostics/epochs/{place}"
        yield from _above(epoch, pointer, epochs, "the epochs of the training steps")
    if spec.model.weight_name is None:
        yield from _without_weight(training)
    if isinstance(spec.model, LVAESpec) and training.batch_size == 1:
        message = "one image has no deviation, and so no volume"
        yield misfit("too_small", message, "/training/batch_size", 1, "an integer from 2")
    yield from _unknown(spec.u, "/model/u", factors)
    if spec.downstream is not None:
        yield from _too_few(min(images, spec.diagnostics.images))
        pointer = "/downstream/factors"
        yield from _unknown(spec.downstream.factors or (), pointer, factors)
        yield from _leaks(spec, pointer)


def _above(value: int, pointer: str, most: int, of_what: str) -> Iterator[PydanticCustomError]:
    if value > most:
        allowed = f"an integer from 1 to {most}" if most else "none: training is shorter"
        yield misfit(
            "too_large", f"{value} is more than {of_what}: {most}", pointer, value, allowed
        )


def _without_weight(training: TrainingSpec) -> Iterator[PydanticCustomError]:
    message = "the model has no weight that could change"
    if training.weight_warm_up is not None:
        yield misfit("no_weight", message, "/training/weight_warm_up", "a warm-up", "null")
    if training.warm_start:
        value = f"{len(training.warm_start)} stages"
        yield misfit("no_weight", message, "/training/warm_start", value, "an empty list")


def _too_few(evaluated: int) -> Iterator[PydanticCustomError]:
    if evaluated < FEWEST_PREDICTED:
        message = f"the downstream task would be trained and tested on {evaluated} images"
        allowed = f"at least {FEWEST_PREDICTED} images of the dataset and of diagnostics"
        yield misfit("too_few", message, "/downstream", evaluated, allowed)


def _unknown(
    named: Sequence[str], pointer: str, factors: Mapping[str, int]
) -> Iterator[PydanticCustomError]:
    for place, factor in enumerate(named):
        if factor not in factors:
            message = "the dataset has no such factor"
            allowed = ", ".join(factors)
            suggestion = nearest(factor, factors)
            yield misfit(
                "unknown_factor", message, f"{pointer}/{place}", factor, allowed, suggestion
            )


def _leaks(spec: ExperimentSpec, pointer: str) -> Iterator[PydanticCustomError]:
    leaking = [factor for factor in spec.predicted_factors if factor in spec.u]
    assert spec.downstream is not None
    if leaking and not spec.downstream.allow_leak:
        message = "the model is told this factor as u, so that predicting it shows nothing"
        allowed = "factors that are not in model.u, or downstream.allow_leak: true"
        yield misfit("leak", message, pointer, leaking, allowed)
    elif not spec.dataset.factors:
        message = "the dataset has no factors that could be predicted"
        yield misfit("no_factors", message, pointer, list(spec.u), "null for downstream")
    elif not spec.predicted_factors:
        message = "every factor of the dataset is in model.u, so that none is left to predict"
        yield misfit("leak", message, pointer, list(spec.u), "downstream.allow_leak: true")


def _factors_and_defaults(
    dataset: Any,  # noqa: ANN401
) -> tuple[Mapping[str, object], Mapping[str, Mapping[str, object]]]:
    """The factors, and the defaults of other parts, of a dataset that is not validated yet."""
    name = dataset.get("name") if isinstance(dataset, Mapping) else None
    if isinstance(name, str) and name in DATASETS:
        return DATASETS[name].factors, DATASETS[name].defaults
    factors = dataset.get("factors") if name == OWN else None
    return factors if isinstance(factors, Mapping) else {}, {}


def _as_mapping(part: Any) -> Any:  # noqa: ANN401
    """A part as a mapping of the fields that were set; anything else stays as it is."""
    if not isinstance(part, BaseModel):
        return part
    named = {"name": part.name} if hasattr(part, "name") else {}
    return {**named, **part.model_dump(exclude_unset=True)}
