"""The tables of `benchmarks.gpu`, in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

INTRODUCTION = """# On a GPU

Written by `python -m benchmarks.gpu --report`, from what `python -m benchmarks.gpu` measured.
A training on a GPU has its images and the order of each epoch on the device, never waits for the
device between two reports, and makes each step as one CUDA graph. Its convolutions are exact: not
rounded to TF32, and the same to the last bit when repeated."""


def report(found: Mapping[str, Any]) -> str:
    """All tables of which there are numbers."""
    return "\n".join(_lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    machine = found["machine"]
    yield INTRODUCTION
    yield ""
    yield (
        f"All numbers are of one {machine['card']}, torch {machine['torch']}, "
        f"cuDNN {machine['cudnn']}, Python {machine['python']}."
    )
    if "rates" in found:
        yield from _rates(found["rates"])
    if "whole_runs" in found:
        yield from ["", "## 1,000 steps of the digits to the verdict", ""]
        yield from ["Each was made once, with its evaluations.", ""]
        rows = [[way, f"{seconds:.1f}"] for way, seconds in found["whole_runs"].items()]
        yield from _table(["way", "s"], rows)
    if "entropies" in found:
        yield from _entropies(found["entropies"])
    if "losses" in found and "evaluations" in found:
        yield from _correctness(found["losses"], found["evaluations"])
    if "forked" in found:
        yield from _forked(found["forked"])


def _rates(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from ["", "## Steps per second", ""]
    yield (
        "`narrow` has the widths 8-8-16-16-32 at 32 x 32, `wide` 32-32-64-64-256 at 64 x 64. The "
        "loops with a DataLoader convert each image by itself, copy each batch when it is needed "
        "and look at the loss at every step, in TF32 as is torch's default; in brackets the ratio "
        "to that with 4 workers. `graph` is a training in float32, and `graph, bfloat16` with "
        "that precision. The other two show what graph and exactness are worth, and cannot be "
        "chosen."
    )
    yield ""
    ways = list(dict.fromkeys(row["way"] for row in rows))
    lines = []
    for (net, batch), group in groupby(rows, lambda row: (row["net"], row["batch"])):
        rate = {row["way"]: row["steps_per_s"] for row in group}
        base = rate["DataLoader, 4 workers"]
        lines.append([net, str(batch), *(f"{rate[w]:,.0f} ({rate[w] / base:.1f})" for w in ways)])
    yield from _table(["net", "batch", *ways], lines)


def _entropies(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from ["", "## Entropies of 32 latents", ""]
    lines = [
        [
            f"{row['n']:,}",
            str(row["alpha"]),
            f"{1000 * row['gpu_s']:.0f}",
            f"{1000 * row['cpu_s']:.0f}",
            f"{row['apart']:.0e}",
        ]
        for row in rows
    ]
    head = ["images", "order", "ms on the GPU", "ms on one core", "nats apart, at most"]
    yield from _table(head, lines)


def _correctness(
    losses: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    yield from ["", "## Against the CPU", ""]
    yield (
        "Relative differences: of the loss of the first step, of that of any of 40 steps, and of "
        "any number of an evaluation of one trained model (absolute below 1). A GPU draws samples "
        "of posteriors with another generator, so that losses of VAEs differ by chance; the "
        "autoencoders (`lv_ae`, `l2_ae`, `ae`) draw none."
    )
    yield ""
    lines = [
        [
            loss["model"],
            f"{loss['first']:.0e}",
            f"{loss['largest']:.0e}",
            f"{evaluation['largest']:.0e}",
            " and ".join(dict.fromkeys(evaluation["regimes"])),
            "yes" if evaluation["labels_alike"] else "no",
        ]
        for loss, evaluation in zip(losses, evaluations, strict=True)
    ]
    head = ["model", "first step", "40 steps", "evaluation", "verdict", "labels alike"]
    yield from _table(head, lines)


def _forked(forked: Mapping[str, Any]) -> Iterator[str]:
    yield from ["", "## A child that is forked after the imports", ""]
    if "error" in forked:
        yield f"failed: {forked['error']}"
        return
    yield (
        f"It had used the GPU {forked['used_s']:.2f} s after the fork, and had trained its first "
        f"steps of the digits {forked['trained_s']:.2f} s after it; its parent had "
        f"{forked['threads']} thread and had not touched CUDA."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(cells) + " |"
