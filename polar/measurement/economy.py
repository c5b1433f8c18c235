"""What bounds the time of a report: the parts that are sampled or left out, and sentences on them.

The constants are chosen by us, from the times in `docs/log.md`.
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

#: What has more is refused. The largest that is allowed takes two to four minutes on one core.
MOST_LATENTS = 10_000
MOST_NUMBERS = 10_000_000
#: Labels times latents: each is an entropy, of 0.4 ms.
MOST_ENTROPIES_WITHIN_LABELS = 50_000
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
    """`mutual_information` of 2,000 of the images and every latent; of all if there are fewer.

    Args:
        images: Shape (n, ...), uint8 or floats.
        mean: Mean representation, shape (n, m).
        sigma: Kernel width of the latents, in their unit.
        seed: As for `mutual_information`.
        rng: Draws the images.

    Raises:
        InvalidInput: the images are not finite real numbers, or all the same.
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


def too_many_groups(labels: Int64[np.ndarray, " n"], m: int) -> bool:
    """Whether the entropies of m latents within labels would take too long."""
    return (int(labels.max()) + 1) * m > MOST_ENTROPIES_WITHIN_LABELS


def economies(
    codes: Codes,
    verdict: Verdict,
    repeats: Sequence[Redundancy],
    *,
    labels: Int64[np.ndarray, " n"] | None,
    with_images: bool,
) -> tuple[str, ...]:
    """Sentences on what was sampled or left out; none for a report of everything.

    Args:
        codes: Of any model.
        verdict: On them.
        repeats: The redundancy of the passive latents.
        labels: The number of the label of each image, shape (n,); none without labels.
        with_images: Whether the information of images and latents is in the report.
    """
    n, m = codes.mean.shape
    found = []
    if labels is not None and too_many_groups(labels, m):
        found.append(
            f"The entropy within labels is left out: {labels.max() + 1:,} labels of {m:,} latents "
            f"are more than {MOST_ENTROPIES_WITHIN_LABELS:,} entropies. Send a coarser factor."
        )
    if with_images and n > MOST_INFORMATION_IMAGES:
        found.append(_sampled("The information of images and latents", MOST_INFORMATION_IMAGES, n))
    compared = subsets.images_compared(n, m)
    if codes.variance is None and compared < n:
        found.append(_sampled("The entropy on subsets of the images", compared, n))
    if repeats:
        found += _about_the_redundancy(n, verdict.n_active, len(repeats))
    return tuple(found)


def _about_the_redundancy(n: int, actives: int, passives: int) -> list[str]:
    found = []
    if not redundancy.can_regress(n, actives):
        found.append(
            "The R^2 of the redundancy is left out, because a regression on "
            f"{actives:,} actives fits any {n:,} images."
        )
    if n > redundancy.MOST_REDUNDANCY_IMAGES:
        found.append(
            _sampled("The information of the redundancy", redundancy.MOST_REDUNDANCY_IMAGES, n)
        )
    compared = redundancy.images_compared(n, actives, passives)
    if compared < min(n, redundancy.MOST_REDUNDANCY_IMAGES):
        found.append(_sampled("The nearest active of each passive latent", compared, n))
    return found


def _sampled(what: str, some: int, n: int) -> str:
    return f"{what} is found on {some:,} of {n:,} images."
