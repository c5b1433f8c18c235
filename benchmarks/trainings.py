"""Trainings of the narrow network of the published studies, which are made once and kept."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from polar.files import written_aside
from polar.records.certificates import KnownModel
from polar.records.events import Event, Result, from_line, to_line
from polar.records.latents import Regime
from polar.spec import ExperimentSpec
from polar.training.allocator import keep_freed_memory

DIGITS: Mapping[str, Any] = {"name": "digits"}


def spec_of(
    model: Mapping[str, Any],
    dataset: Mapping[str, Any] = DIGITS,
    *,
    seed: int = 0,
    **training: Any,  # noqa: ANN401
) -> ExperimentSpec:
    """The training of a model, which names its family and its weight, on a dataset."""
    return ExperimentSpec.model_validate(
        {
            "dataset": dataset,
            "model": {"latent_dim": 16, "widths": [8, 8, 16, 16, 32], **model},
            "training": {"batch_size": 64, "learning_rate": 4e-3, **training},
            "diagnostics": {"information_images": 0},
            "seeds": [seed],
        }
    )


def kept(path: Path, make: Callable[[], Iterable[Event]]) -> list[Event]:
    """The events of a training from this file; without the file, the training is made first."""
    if not path.exists():
        keep_freed_memory()
        torch.set_num_threads(1)  # another thread count has other bits
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = "\n".join(map(to_line, make()))
        with written_aside(path) as aside:
            aside.write_text(lines)
    return [from_line(line) for line in path.read_text().splitlines()]


def known_model(spec: ExperimentSpec, result: Result) -> KnownModel:
    """The model that a training came to, as certificates compare it."""
    assert spec.model.weight is not None
    assert result.loss_terms is not None
    return KnownModel(
        weight=spec.model.weight,
        seed=result.seed,
        steps=result.steps,
        is_inside=result.final.verdict.regime is Regime.CLEAN,
        has_settled=bool(result.settled),
        terms=result.loss_terms,
    )
