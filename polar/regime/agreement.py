"""How far the criteria agree about the latents.

Mixed counts as active, because the decoder uses such a latent, if not for every image, and because
only some of the criteria can say mixed at all. A pair of criteria is not compared on the latents
that either of them leaves undetermined: it said nothing there that could agree.
"""

from collections.abc import Sequence
from itertools import combinations

from polar.records.latents import Label
from polar.records.measurement import Agreement, Criterion, CriterionLabel


def agreement(labels: Sequence[CriterionLabel]) -> tuple[Agreement, ...]:
    """Agreement of every pair of criteria, in the order in which they first appear.

    Args:
        labels: The labels by all criteria; each criterion labels every latent once.

    Reference: Cohen (1960), https://doi.org/10.1177/001316446002000104
    """
    active: dict[Criterion, dict[int, bool]] = {}
    for label in labels:
        latents = active.setdefault(label.criterion, {})
        if label.label is not Label.UNDETERMINED:
            latents[label.latent] = label.label is not Label.PASSIVE
    return tuple(_agreement(a, b, active[a], active[b]) for a, b in combinations(active, 2))


def _agreement(
    criterion_a: Criterion, criterion_b: Criterion, a: dict[int, bool], b: dict[int, bool]
) -> Agreement:
    pairs = [(a[latent], b[latent]) for latent in a if latent in b]
    return Agreement(
        criterion_a=criterion_a,
        criterion_b=criterion_b,
        kappa=cohens_kappa(pairs),
        agreement=sum(x == y for x, y in pairs) / len(pairs) if pairs else None,
        compared=len(pairs),
    )


def cohens_kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """(observed - expected) / (1 - expected) agreement of two raters; at most 1.

    None without pairs, and where both raters give everything the same label: agreement by chance
    is then certain, and kappa is 0 / 0.
    """
    n = len(pairs)
    same = sum(x == y for x, y in pairs)
    a, b = sum(x for x, _ in pairs), sum(y for _, y in pairs)
    by_chance = a * b + (n - a) * (n - b)  # times n^2: integers show 0 / 0 exactly
    if by_chance == n * n:
        return None
    return (n * same - by_chance) / (n * n - by_chance)
