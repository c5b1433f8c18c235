"""The sampler of a study, made anew for every ask."""

from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from polar.spec import StudySpec
from service.studies.ranges import RangeSampler, search_of


def sampler(spec: StudySpec, asked: int) -> BaseSampler:
    """The sampler that a study names; a grid has none, for its points are known.

    A sampler of one seed draws the same again each time it is made, so the seed depends on how
    often the study was asked before. A sequence of quasi-Monte Carlo is one for the whole study,
    and Optuna's database knows how far it has come.

    Args:
        spec: Of the study.
        asked: How many trials it has had.
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
        case "range":
            search = search_of(spec)
            assert search is not None  # the spec has one field on a log axis
            return RangeSampler(search)
        case _:
            return RandomSampler(seed=seed)
