"""The sampler of a study, made anew for every ask."""

from typing import assert_never

from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from polar.spec import StudySpec


def sampler(spec: StudySpec, asked: int) -> BaseSampler:
    """The sampler that a study names.

    A sampler is made anew for every ask and would repeat its draws if it had the same seed, so the
    seed depends on how often the study was asked before. Quasi-Monte Carlo is the exception: its
    sequence belongs to the whole study, and Optuna's database knows how far it has come.

    The points of a grid and of a range are chosen without Optuna, so their sampler draws nothing.

    Args:
        spec: The spec of the study.
        asked: How many trials Optuna was asked for before.
    """
    seed = (spec.sampler_seed * 1_000_003 + asked) % 2**32
    match spec.sampler:
        case "tpe":
            return TPESampler(seed=seed, constant_liar=True)
        case "gp":
            return GPSampler(seed=seed)
        case "nsga2":
            return NSGAIISampler(seed=seed)
        case "qmc":
            return QMCSampler(seed=spec.sampler_seed, scramble=True)
        case "random" | "grid" | "range":
            return RandomSampler(seed=seed)
        case _:
            assert_never(spec.sampler)
