"""What is unusual about codes, so that their measures mean less than usual, or something else."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from polar.regime.codes import Codes
from polar.regime.outliers import about_the_scale
from polar.regime.redundancy import DEAD
from polar.regime.words import count_latents
from polar.spec.fields import FEWEST_IMAGES
from polar.spec.training import DEFAULT_SIGMA, Ruler

#: Nats below ln n. Chosen by us, because exp(-0.1) = 0.9: as if 9 of 10 images were alone, so far
#: from all others that the kernel sees no neighbour.
ALONE_NATS = 0.1
#: Std / sigma. Chosen by us, because the entropy of such a Gaussian is 0.06 nats: all latents
#: together stay below the default tau and below what the criteria call different.
TINY = 0.1
#: Std / sigma of a latent that has the std of the prior, 1, at the default sigma.
USUAL_WIDTH = 1 / DEFAULT_SIGMA
#: Mean variance below which a posterior says something: halfway between the prior's 1 and 0.
PRECISE = 0.5
#: A sentence names at most so many latents.
MOST_NAMED = 10


def remarks_on(
    codes: Codes,
    mean: Float64[np.ndarray, "n m"],
    entropies: Sequence[float],
    names: Sequence[str],
    *,
    ruler: Ruler,
    sigma: float,
    classes: Int64[np.ndarray, " n"] | None,
) -> tuple[str, ...]:
    """Sentences on the codes, the most important first; none for usual codes.

    Args:
        codes: The codes that were measured.
        mean: Their mean in units of the ruler.
        entropies: The judged entropy of each latent, in nats.
        names: Names of the latents.
        ruler: The ruler.
        sigma: Kernel width of the entropies, in units of the ruler.
        classes: The number of each image's class, shape (n,); none where no classes are known.
    """
    std = mean.std(axis=0)
    sentences = (
        about_the_scale(codes, ruler),
        _about_crowding_at_the_top(std, np.array(entropies), len(mean), sigma),
        _about_tiny_codes(codes, std, sigma),
        _about_the_shape(*mean.shape),
        _about_dead_latents(codes, mean, std, names),
        _about_equal_variances(codes),
        "" if classes is None else _about_classes(classes),
    )
    return tuple(sentence for sentence in sentences if sentence)


def _about_crowding_at_the_top(
    std: Float64[np.ndarray, " m"], entropies: Float64[np.ndarray, " m"], n: int, sigma: float
) -> str:
    most = math.log(n)
    alone = entropies > most - ALONE_NATS
    if not alone.any():
        return ""
    median = float(np.median(std[alone]))
    return (
        f"The entropies of {int(alone.sum())} of {count_latents(len(std))} are within "
        f"{ALONE_NATS:g} nats of ln n = {most:.2f}, the most that {n:,} images can have: at sigma "
        f"= {sigma:g} nearly every image is alone, and such entropies count the images. The "
        f"median std of those latents is {median:.2g}; a sigma of about "
        f"{median / USUAL_WIDTH:.1g} would suit, or more images."
    )


def _about_tiny_codes(codes: Codes, std: Float64[np.ndarray, " m"], sigma: float) -> str:
    widest = float(std.max())
    # The prior sets the unit of a variational model. Where all posteriors equal the prior, the
    # model has collapsed, and no other unit would show more.
    if codes.variance is None:
        is_collapse = bool(codes.is_constant.all())
    else:
        is_collapse = not _says_something(codes.variance)
    if widest == 0 or widest > TINY * sigma or is_collapse:
        return ""
    return (
        f"No latent has a std above {widest:.2g}, little compared with sigma = {sigma:g}, so that "
        "all entropies are near 0 whatever the latents do. Unless they have collapsed, a sigma of "
        f"about {widest / USUAL_WIDTH:.1g} would suit."
    )


def _says_something(variance: Float64[np.ndarray, "n m"]) -> bool:
    return bool((variance.mean(axis=0) < PRECISE).any())


def _about_the_shape(n: int, m: int) -> str:
    if m == 1:
        return (
            "There is a single latent, hence no two groups: the verdict can only be collapsed or "
            "under-regularised."
        )
    if m > n:
        return (
            f"There are more latents ({m:,}) than images ({n:,}): with so few images the latents "
            "cannot be distinguished reliably. Send more images; or, if the rows are the latents, "
            "the transposed array."
        )
    return ""


def _about_dead_latents(
    codes: Codes,
    mean: Float64[np.ndarray, "n m"],
    std: Float64[np.ndarray, " m"],
    names: Sequence[str],
) -> str:
    # The std of equal numbers may differ from 0, because their mean is rounded.
    is_equal = (mean == mean[0]).all(axis=0)
    if codes.variance is None and codes.is_constant.all():
        but = "" if (codes.mean == codes.mean[0]).all() else " but for rounding"
        return f"All latents are constant{but}: these codes say nothing about the images."
    if is_equal.all():
        return "All latents are constant: these codes say nothing about the images."
    is_dead = is_equal | (std <= DEAD * std.max())
    dead = [name for name, dead in zip(names, is_dead, strict=True) if dead]
    if not dead:
        return ""
    return (
        f"{count_latents(len(dead)).capitalize()} ({_named(dead)}) "
        f"{'is' if len(dead) == 1 else 'are'} numerically dead, with a std below {DEAD:g} of the "
        "widest latent's or of their own size, which is rounding; the redundancy leaves such "
        "latents out."
    )


def _about_equal_variances(codes: Codes) -> str:
    if codes.variance is None or np.ptp(codes.variance) > 0:
        return ""
    return (
        f"All variances are {codes.variance[0, 0]:.3g}, so that the variance tells no latent from "
        "another, and criteria that go by it give all latents the same label."
    )


def _about_classes(classes: Int64[np.ndarray, " n"]) -> str:
    n, count = len(classes), int(classes.max()) + 1
    if count == 1:
        return "All images are of one class: the entropy within it is that of all images."
    if n < FEWEST_IMAGES * count:
        return (
            f"There are {count:,} classes for {n:,} images, {n / count:.1f} images in each: the "
            "entropy within classes is small because the images are few. Send the labels of a "
            "coarser factor."
        )
    return ""


def _named(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
