"""Our training, for `benchmarks.steps`, which starts it with the options of `plain_training`."""

import argparse
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.plain_training import OnStep, serve
from polar.records.events import Evaluation, Progress
from polar.spec import ExperimentSpec
from polar.training.allocator import keep_freed_memory
from polar.training.inputs import Inputs
from polar.training.loop import train
from polar.training.state import fresh
from polar.training.subset import evaluation_subset


def prepare(options: argparse.Namespace) -> Callable[[OnStep], None]:
    """A run whose evaluations, at powers of two, come before or after the steps that are timed."""
    keep_freed_memory()
    images = torch.from_numpy(np.load(options.images))
    spec = spec_of(options, len(images), images.shape[-1])
    inputs = Inputs(images, torch.empty(len(images), 0, dtype=torch.uint8))
    subset = evaluation_subset(inputs.first(64), spec)
    state = fresh(spec, "benchmark", torch.device("cpu"))

    def make(on_step: OnStep) -> None:
        for event in train(state, inputs, subset):
            is_end = isinstance(event, Progress) and event.step == options.steps
            if is_end or isinstance(event, Evaluation):
                on_step(event.step)
            if is_end:
                return

    return make


def spec_of(options: argparse.Namespace, images: int, side: int) -> ExperimentSpec:
    """The spec of as many images of this side; what the images show plays no part in it."""
    precision = {} if options.precision == "float32" else {"precision": options.precision}
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "sprites", "images": images, "side": side},
            "model": {"latent_dim": options.latents, "widths": options.widths},
            "training": {
                "steps": options.steps,
                "batch_size": options.batch,
                "held_out": 0.0,
                **precision,
            },
            "diagnostics": {"evaluations_per_doubling": 1, "information_images": 0},
        }
    )


if __name__ == "__main__":
    serve(prepare)
