"""Eigenvalues of band matrices, during which other threads go on.

`scipy.linalg.eigvals_banded` calls the same routine of LAPACK, but keeps the interpreter's lock,
for seconds from 5,000 rows on. A function that ctypes calls has given it back.
"""

import ctypes
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.linalg import LinAlgError, cython_lapack

_CHAR, _INT = ctypes.c_char_p, ctypes.POINTER(ctypes.c_int)
_DOUBLE: Final = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")


def eigenvalues(bands: Float[np.ndarray, "diagonals m"]) -> Float[np.ndarray, " m"]:
    """Eigenvalues of a symmetric band matrix, ascending; takes 4e-8 m^2 seconds.

    Args:
        bands: Entry [k, i] is entry (i + k, i) of the matrix; finite.

    Raises:
        LinAlgError: they did not converge.
    """
    diagonals, m = bands.shape
    by_columns = np.array(bands.T, dtype=np.float64, order="C")  # overwritten
    values, work, no_vectors = np.empty(m), np.empty(2 * m), np.empty(1)
    info, one = ctypes.c_int(), ctypes.c_int(1)
    # fmt: off
    _dsbevd(
        b"N", b"L", ctypes.c_int(m), ctypes.c_int(diagonals - 1), by_columns,
        ctypes.c_int(diagonals), values, no_vectors, one, work, ctypes.c_int(2 * m),
        ctypes.c_int(), one, info,
    )
    # fmt: on
    if info.value:
        raise LinAlgError(f"{info.value} entries of a tridiagonal matrix did not converge to 0")
    return values


def _exported_by_scipy(name: str) -> int:
    """Address of a routine of the LAPACK that scipy brings, for code that is not Python."""
    capsule = cython_lapack.__pyx_capi__[name]
    named, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    named.restype, named.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address: int = pointer(capsule, named(capsule))
    return address


# jobz, uplo, n, kd, ab, ldab, w, z, ldz, work, lwork, iwork, liwork, info
# fmt: off
_dsbevd = ctypes.CFUNCTYPE(
    None, _CHAR, _CHAR, _INT, _INT, _DOUBLE, _INT, _DOUBLE, _DOUBLE, _INT, _DOUBLE, _INT, _INT,
    _INT, _INT,
)(_exported_by_scipy("dsbevd"))
# fmt: on
