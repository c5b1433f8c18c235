"""Codes with known answers."""

import numpy as np
import pytest

Labelled = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def toy() -> Labelled:
    """Codes (7000, 2) of an active and a passive latent, and a factor (7000, 1) of 4 values.

    Each latent carries one of the factor's two bits: it is -1 or 1, with noise of std 0.5. The
    passive one is a thousand times smaller. Its bit is 1 with probability 0.6, so that without it
    the best guess is right in 0.6 of the images.
    """
    rng = np.random.default_rng(0)
    first = rng.integers(2, size=7000)
    second = (rng.random(7000) < 0.6).astype(np.int64)
    centres = 2.0 * np.stack([first, second], axis=1) - 1
    codes = centres + 0.5 * rng.normal(size=(7000, 2))
    return codes * [1, 1e-3], (2 * first + second)[:, None]


@pytest.fixture(scope="session")
def small() -> Labelled:
    """Codes (140, 4) in which the 3 values of a factor (140, 1) overlap."""
    rng = np.random.default_rng(1)
    values = rng.integers(3, size=140)
    return rng.normal(size=(3, 4))[values] + rng.normal(size=(140, 4)), values[:, None]
