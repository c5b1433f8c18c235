"""What bounds the time of a measurement: which parts are sampled or left out, in sentences too.

The constants are chosen by us from the times in `docs/log.md`.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from polar.entropy import image_sigma
from polar.entropy.information import MutualInformation, mutual_information
from polar.errors import InvalidInput
from polar.records.latents import Verdict
from polar.records.measurement import Redundancy
from polar.regime import redundancy, subsets
from polar.regime.codes import Codes

#: Larger codes are refused. The largest that are allowed take two to four minutes on one core.
MOST_LATENTS = 10_000
MOST_NUMBERS = 10_000_000
#: Classes times latents; each pair costs an entropy, of 0.4 ms.
MOST_ENTROPIES_WITHIN_CLASSES = 50_000
#: Codes with more latents or numbers get no sensitivity, which costs six times their entropies:
#: 37 s or more for 10,000 latents, and 0.2 s for the 160,000 numbers of a run.
MOST_SENSITIVITY_LATENTS = 1000
MOST_SENSITIVITY_NUMBERS = 2_000_000
#: Images used to estimate information; the cost grows with their square.
MOST_INFORMATION_IMAGES = 2000
#: Latents whose kernels are in memory together.
LATENTS_AT_ONCE = 500


def information_of_some(
    images: NDArray[Any],
    mean: Float64[np.ndarray, "n m"],
    *,
    sigma: float,
    seed: int,
    rng: np.random.Generator,
) -> MutualInformation[NDArray[Any]]:
    """The `mutual_information` of every latent and 2,000 of the images, or all if there are fewer.

    Args:
        images: Shape (n, ...), uint8 or floats.
        mean: Mean representation, shape (n, m).
        sigma: Kernel width of the latents, in their unit.
        seed: Passed on to `mutual_information`.
        rng: Draws the images.

    Raises:
        InvalidInput: the images are not finite real numbers, or are all the same.
    """
    n, m = mean.shape
    if n > MOST_INFORMATION_IMAGES:
        chosen = np.sort(rng.permutation(n)[:MOST_INFORMATION_IMAGES])
        images, mean = images[chosen], mean[chosen]
    try:
        width = image_sigma(images)
    except InvalidInput as error:
        raise InvalidInput(f"images: {error}") from error
    parts = [
        mutual_information(
            images, mean[:, j : j + LATENTS_AT_ONCE], sigma_x=width, sigma=sigma, seed=seed
        )
        for j in range(0, m, LATENTS_AT_ONCE)
    ]
    return MutualInformation(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(MutualInformation)
        }
    )


def too_many_classes(classes: Int64[np.ndarray, " n"], m: int) -> bool:
    """Whether the entropies of m latents within the classes would take too long."""
    return (int(classes.max()) + 1) * m > MOST_ENTROPIES_WITHIN_CLASSES


def too_large_for_sensitivity(n: int, m: int) -> bool:
    """Whether the sensitivity of a verdict on n images and m latents would take too long."""
    return m > MOST_SENSITIVITY_LATENTS or n * m > MOST_SENSITIVITY_NUMBERS


def economies(
    codes: Codes,
    verdict: Verdict,
    repeats: Sequence[Redundancy],
    *,
    classes: Int64[np.ndarray, " n"] | None,
    with_images: bool,
) -> tuple[str, ...]:
    """Sentences on what was sampled or left out; none where nothing was.

    Args:
        codes: The codes that were measured.
        verdict: The verdict on them.
        repeats: The redundancy of the passive latents.
        classes: The number of each image's class, shape (n,); none where no classes are known.
        with_images: Whether the information of images and latents was measured.
    """
    n, m = codes.mean.shape
    sentences = []
    if classes is not None and too_many_classes(classes, m):
        sentences.append(
            f"The entropy within classes is left out: {classes.max() + 1:,} classes for {m:,} "
            f"latents need more than {MOST_ENTROPIES_WITHIN_CLASSES:,} entropies. Send the labels "
            "of a coarser factor."
        )
    if with_images and n > MOST_INFORMATION_IMAGES:
        sentences.append(
            _sampled("The information of images and latents", MOST_INFORMATION_IMAGES, n)
        )
    if too_large_for_sensitivity(n, m):
        sentences.append(
            f"The sensitivity of the verdict is left out: it is measured up to "
            f"{MOST_SENSITIVITY_LATENTS:,} latents and {MOST_SENSITIVITY_NUMBERS:,} numbers. Send "
            "fewer images or latents."
        )
    compared = subsets.images_compared(n, m)
    if codes.variance is None and compared < n:
        sentences.append(_sampled("The entropy on subsets of the images", compared, n))
    if repeats:
        sentences += _about_the_redundancy(n, verdict.n_active, len(repeats))
    return tuple(sentences)


def _about_the_redundancy(n: int, actives: int, passives: int) -> list[str]:
    sentences = []
    if not redundancy.can_regress(n, actives):
        sentences.append(
            "The R^2 of the redundancy is left out, because a regression on "
            f"{actives:,} actives fits any {n:,} images."
        )
    if n > redundancy.MOST_REDUNDANCY_IMAGES:
        sentences.append(
            _sampled("The information of the redundancy", redundancy.MOST_REDUNDANCY_IMAGES, n)
        )
    compared = redundancy.images_compared(n, actives, passives)
    if compared < min(n, redundancy.MOST_REDUNDANCY_IMAGES):
        sentences.append(_sampled("The nearest active of each passive latent", compared, n))
    return sentences


def _sampled(what: str, some: int, n: int) -> str:
    return f"{what} is measured on {some:,} of {n:,} images."
