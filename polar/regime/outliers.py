"""Images that carry most of the scale by which codes without a variance are judged.

The scaled ruler divides such codes by the largest std of a latent. A single image whose code is
far out can be most of that std, and then all other images look alike.
"""

import math

import numpy as np
from jaxtyping import Float64

from polar.regime.codes import Codes
from polar.spec.training import Ruler

#: Share of the images that are left out, those whose codes are farthest out.
EXTREME = 0.01
#: Factor by which the scale may shrink without these images. Chosen by us: they then make up three
#: quarters of the variance, while the most extreme 1 % of a Gaussian sample make up 8 %.
MOST_SHRINKING = 2.0


def about_the_scale(codes: Codes, ruler: Ruler) -> str:
    """A sentence on the images that carry most of the ruler's scale; empty without such images.

    Args:
        codes: The codes of any model.
        ruler: The ruler of the verdict.
    """
    if ruler == "absolute" or codes.variance is not None or codes.is_constant.all():
        return ""
    mean = codes.mean
    out = np.abs(mean - np.median(mean, axis=0)).max(axis=1)
    extreme = np.argsort(-out, kind="stable")[: math.ceil(EXTREME * len(mean))]
    whole, without = _largest_std(mean), _largest_std(np.delete(mean, extreme, axis=0))
    if whole <= MOST_SHRINKING * without:
        return ""
    several = len(extreme) > 1
    images, carry = (f"{len(extreme)} images", "carry") if several else ("1 image", "carries")
    smaller = f", {whole / without:.3g} times smaller" if without else ""
    return (
        f"{images} of {len(mean):,}, those farthest out such as image {extreme[0]}, {carry} most "
        "of the scale by which all latents are judged: without them the largest std of a latent "
        f"is {without:.3g} instead of {whole:.3g}{smaller}. Other latents may be passive for "
        "their sake alone: mend or leave out these images, or take the absolute ruler."
    )


def _largest_std(mean: Float64[np.ndarray, "n m"]) -> float:
    return float(mean.std(axis=0).max())
