"""Eigenvalues of band matrices are those of the full matrix, and other threads go on meanwhile."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.entropy.band_matrix import eigenvalues


def banded(m: int, diagonals: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A random band matrix, as bands and in full."""
    rng = np.random.default_rng(seed)
    bands, full = np.zeros((diagonals, m)), np.zeros((m, m))
    for k in range(min(diagonals, m)):
        bands[k, : m - k] = rng.normal(size=m - k)
        full += np.diag(bands[k, : m - k], -k)
    return bands, full + np.tril(full, -1).T


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_they_are_those_of_the_full_matrix(m: int, diagonals: int, seed: int) -> None:
    bands, full = banded(m, diagonals, seed)
    before = bands.copy()

    values = eigenvalues(bands)

    expected = np.linalg.eigvalsh(full)
    assert values == pytest.approx(expected, abs=1e-13 * max(1.0, np.abs(expected).max()))
    assert np.array_equal(bands, before)


def test_other_threads_go_on() -> None:
    bands, _ = banded(2_000, 17, seed=0)
    working = threading.Thread(target=eigenvalues, args=[bands])

    working.start()

    # A routine that kept the interpreter's lock would let this thread go on once, at its end.
    turns = 0
    while working.is_alive():
        working.join(1e-3)
        turns += 1
    assert turns >= 2
