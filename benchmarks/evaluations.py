"""What the evaluations of a training cost beside its steps.

    python -m benchmarks.evaluations polar/examples/digits.yaml

Times are CPU times of one training in one process; set OMP_NUM_THREADS=1.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import print_table
from polar.data.images import load
from polar.records.events import Evaluation
from polar.spec import ExperimentSpec
from polar.spec.text import read_spec_file, read_yaml
from polar.training import evaluation, loop
from polar.training.allocator import keep_freed_memory
from polar.training.decoding import Decoder
from polar.training.inputs import inputs
from polar.training.state import fresh
from polar.training.subset import evaluation_subset

#: The parts of an evaluation: where each is looked up, and its name there.
PARTS: tuple[tuple[Any, str], ...] = (
    (loop, "evaluate"),
    (evaluation, "encode"),
    (evaluation, "measure_latents"),
    (evaluation, "_information"),
    (Decoder, "decoding"),
    (Decoder, "_usage"),
    (Decoder, "carried_by"),
)


def timed(
    function: Callable[..., Any], name: str, seconds: dict[str, float]
) -> Callable[..., Any]:
    def measured(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        begin = time.process_time()
        try:
            return function(*arguments, **keywords)
        finally:
            seconds[name] += time.process_time() - begin

    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", type=Path)
    path = parser.parse_args().spec
    torch.set_num_threads(1)
    keep_freed_memory()
    spec = ExperimentSpec.from_content(read_yaml(read_spec_file(path)))
    spec = spec.for_seed(spec.seeds[0])
    dataset, device = load(spec.dataset, None), torch.device("cpu")
    training = inputs(dataset, spec, device).training
    subset = evaluation_subset(training, spec)
    state = fresh(spec, dataset.digest, device)
    seconds = dict.fromkeys((name for _, name in PARTS), 0.0)
    for owner, name in PARTS:
        setattr(owner, name, timed(getattr(owner, name), name, seconds))
    begin = time.process_time()
    evaluations = sum(
        isinstance(event, Evaluation) for event in loop.train(state, training, subset)
    )
    steps = time.process_time() - begin - seconds["evaluate"]
    print_table(
        ["part", "CPU seconds", "of the steps"],
        [
            [f"{state.step:,} steps", f"{steps:.2f}", ""],
            *(
                [f"{name} ({evaluations} evaluations)" if name == "evaluate" else name,
                 f"{seconds[name]:.2f}", f"{seconds[name] / steps:.1%}"]
                for _, name in PARTS
            ),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
