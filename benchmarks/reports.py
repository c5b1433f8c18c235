"""How long reports take, up to the largest that are allowed: `python -m benchmarks.reports`.

The times are CPU times of `polar.measure`; set OMP_NUM_THREADS=1. The latents are normal: the
first half has the standard deviation 1, or 1,000 in wide codes, and the other half 0.02. `--only`
selects a size, such as `--only 300x1500`.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from benchmarks.timing import print_table, seconds_of
from polar import measure


@dataclass(frozen=True)
class Size:
    images: int
    latents: int
    is_wide: bool = False
    has_variances: bool = False
    classes: int = 0

    @property
    def name(self) -> str:
        return f"{self.images}x{self.latents}"

    @property
    def words(self) -> str:
        parts = [f"{self.images:,} x {self.latents:,}"]
        parts += ["variances"] if self.has_variances else []
        parts += ["wide"] if self.is_wide else []
        parts += [f"{self.classes:,} classes"] if self.classes else []
        return ", ".join(parts)


SIZES = (
    Size(300, 200, has_variances=True),
    Size(300, 1_500, has_variances=True),
    Size(10_000, 128, has_variances=True, classes=4_332),
    Size(10_000, 128, is_wide=True, classes=10),
    Size(100_000, 16, is_wide=True, classes=10),
    Size(50, 10_000, has_variances=True, classes=5),
    Size(1_000, 10_000),
    Size(10_000, 1_000, has_variances=True, classes=10),
    Size(10_000, 1_000, is_wide=True, classes=10),
    Size(1_000_000, 10, is_wide=True, classes=10),
)


def seconds_of_report(size: Size) -> float:
    rng = np.random.default_rng(0)
    is_active = np.arange(size.latents) < size.latents / 2
    std = np.where(is_active, 1_000.0 if size.is_wide else 1.0, 0.02)
    mean = rng.normal(size=(size.images, size.latents)) * std
    variance = np.exp(rng.normal(size=mean.shape)) / 10 if size.has_variances else None
    labels = rng.integers(size.classes, size=size.images) if size.classes else None
    return seconds_of(lambda: measure(mean, variance, labels=labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted({size.name for size in SIZES}))
    only = parser.parse_args().only
    sizes = [size for size in SIZES if only in (None, size.name)]
    rows = [[size.words, f"{seconds_of_report(size):.1f}"] for size in sizes]
    print_table(["images x latents", "seconds"], rows)


if __name__ == "__main__":
    main()
