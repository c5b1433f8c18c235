"""Eigenvalues of band matrices are those of the full matrix, and other threads go on meanwhile."""

import ctypes
import importlib
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import cython_lapack

from polar.entropy import band_matrix
from polar.entropy.band_matrix import eigenvalues


def banded(m: int, diagonals: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A random band matrix, as bands and in full."""
    rng = np.random.default_rng(seed)
    bands, full = np.zeros((diagonals, m)), np.zeros((m, m))
    for k in range(min(diagonals, m)):
        bands[k, : m - k] = rng.normal(size=m - k)
        full += np.diag(bands[k, : m - k], -k)
    return bands, full + np.tril(full, -1).T


@pytest.mark.parametrize("has_routine", [True, False])
@given(
    m=st.integers(1, 40),
    diagonals=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_they_are_those_of_the_full_matrix(
    has_routine: bool, m: int, diagonals: int, seed: int
) -> None:
    bands, full = banded(m, diagonals, seed)
    before = bands.copy()

    with pytest.MonkeyPatch.context() as patch:
        if not has_routine:
            patch.setattr(band_matrix, "_dsbevd", None)
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


@pytest.mark.parametrize("integer", [b"int64_t", b"long", b"npy_int64"])
def test_a_routine_with_other_integers_is_not_called(integer: bytes) -> None:
    new = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
    )(("PyCapsule_New", ctypes.pythonapi))  # fmt: skip
    ours = cython_lapack.__pyx_capi__["dsbevd"]
    name = band_matrix._name_of(ours).replace(b"int *", integer + b" *")
    other = new(band_matrix._pointer_of(ours, band_matrix._name_of(ours)), name, None)

    assert band_matrix._routine(other) is None
    assert band_matrix._routine(ours) is not None


def test_what_others_declare_of_the_interpreters_functions_stays() -> None:
    # `ctypes.pythonapi` hands out one object of each name to the whole process.
    functions = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    before = [function.argtypes for function in functions]

    importlib.reload(band_matrix)

    for function, declared in zip(functions, before, strict=True):
        assert function.argtypes is declared
