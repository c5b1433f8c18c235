"""The n x n definitions, as oracles."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def entropy_of_matrix(gram: Floats, alpha: float) -> float:
    p = np.linalg.eigvalsh(gram / len(gram)).clip(0)
    p = p[p > 0] / p.sum()
    if alpha == 1:
        return float(-np.sum(p * np.log(p)))
    if alpha == math.inf:
        return float(-np.log(p.max()))
    return float(np.log(np.sum(p**alpha)) / (1 - alpha))


def gram_matrix(x: Floats, sigma: float) -> Floats:
    flat = x.reshape(len(x), -1)
    squares = ((flat[:, None] - flat) ** 2).sum(-1)
    return np.exp(-squares / (2 * sigma**2))


@pytest.fixture(scope="session", name="entropy_of_matrix")
def _entropy_of_matrix() -> Callable[[Floats, float], float]:
    """S_alpha of K / n, from the eigenvalues."""
    return entropy_of_matrix


@pytest.fixture(scope="session", name="gram_matrix")
def _gram_matrix() -> Callable[[Floats, float], Floats]:
    """K of samples of any shape, from all differences."""
    return gram_matrix
