"""How far a verdict depends on the choices by which it was measured.

This module imports no torch and no numpy.
"""

from collections.abc import Sequence
from enum import StrEnum

from polar.records.latents import Flaw, Regime
from polar.records.record import Record
from polar.spec.training import Ruler


class Variant(StrEnum):
    """A way to measure the same latent space once more, with one choice changed."""

    #: All choices as in the verdict.
    AS_MEASURED = "as_measured"
    HALF_WIDTH = "half_width"
    DOUBLE_WIDTH = "double_width"
    #: The first half of the images.
    HALF_IMAGES = "half_images"
    #: Entropies of order 2, or of order 1.01 where the verdict goes by order 2.
    OTHER_ORDER = "other_order"
    HALF_TAU = "half_tau"
    DOUBLE_TAU = "double_tau"
    #: The absolute ruler, or the scaled one where the verdict goes by the absolute ruler. It asks
    #: another question, so that another answer does not make a verdict fragile.
    OTHER_RULER = "other_ruler"


class Sensitivity(Record):
    """The verdict under one variant; R, usage and whether training has settled stay the same."""

    variant: Variant
    images: int
    ruler: Ruler
    sigma: float
    renyi_alpha: float
    tau_std: float
    regime: Regime
    flaws: tuple[Flaw, ...]
    n_active: int
    #: As in `Verdict`.
    polarisation: float
    gap_factor: float | None


def flips(rows: Sequence[Sensitivity]) -> tuple[Sensitivity, ...]:
    """The variants under which the regime is another; a verdict that has any is fragile.

    The other ruler is not counted.

    Args:
        rows: The verdict as measured, and then under all variants.
    """
    as_measured, *others = rows
    return tuple(
        other
        for other in others
        if other.variant is not Variant.OTHER_RULER and other.regime is not as_measured.regime
    )
