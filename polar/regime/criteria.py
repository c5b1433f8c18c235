"""The criterion that calls one latent active or passive."""

import math

from polar.errors import InvalidInput
from polar.events import Label


def label_by_entropy(entropy_nats: float, tau: float) -> Label:
    """A latent is active when its entropy exceeds the threshold, else passive.

    Mixed latents cannot be told from active ones by the entropy of the mean alone; they count as
    active here.

    Args:
        entropy_nats: Entropy of the latent's mean representation, in nats.
        tau: Threshold, in nats, at least 0.

    Raises:
        InvalidInput: the entropy or tau is not finite, or tau is negative.

    Reference: Clapham, Bonheme, Grzes (2026), Eq. 8, https://arxiv.org/abs/2605.15965
    """
    if not math.isfinite(entropy_nats):
        raise InvalidInput(f"the entropy of a latent is {entropy_nats}; allowed: finite numbers")
    if not 0 <= tau < math.inf:
        raise InvalidInput(f"tau is {tau} nats; allowed: 0 and above, finite")
    return Label.ACTIVE if entropy_nats > tau else Label.PASSIVE
