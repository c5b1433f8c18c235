"""Eigenvalues of band matrices, during which other threads go on.

`scipy.linalg.eigvals_banded` calls the same routine of LAPACK, but keeps the interpreter's lock,
for seconds from 5,000 rows on. A function that ctypes calls has given it back. Where scipy has
built the routine with other types than those declared here, its own function is called after all.
"""

import ctypes
import re
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from scipy.linalg import LinAlgError, cython_lapack, eigvals_banded

_CHAR, _INT = ctypes.c_char_p, ctypes.POINTER(ctypes.c_int)
_DOUBLE: Final = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")

# jobz, uplo, n, kd, ab, ldab, w, z, ldz, work, lwork, iwork, liwork, info
# fmt: off
_DSBEVD: Final = ctypes.CFUNCTYPE(
    None, _CHAR, _CHAR, _INT, _INT, _DOUBLE, _INT, _DOUBLE, _DOUBLE, _INT, _DOUBLE, _INT, _INT,
    _INT, _INT,
)
# fmt: on
#: The same in C. A build with integers of 64 bits would read, and write, beyond ours.
_IN_C: Final = (
    "void (char *, char *, int *, int *, double *, int *, double *, double *, int *, double *, "
    "int *, int *, int *, int *)"
)
# Prototypes of our own, because those of `ctypes.pythonapi` belong to the whole process.
_name_of: Final = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
    ("PyCapsule_GetName", ctypes.pythonapi)
)
_pointer_of: Final = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def eigenvalues(bands: Float[np.ndarray, "diagonals m"]) -> Float[np.ndarray, " m"]:
    """Eigenvalues of a symmetric band matrix, ascending; takes 4e-8 m^2 seconds.

    Args:
        bands: Entry [k, i] is entry (i + k, i) of the matrix; finite.

    Raises:
        LinAlgError: they did not converge.
    """
    if _dsbevd is None:
        return eigvals_banded(bands, lower=True)
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


def _routine(capsule: object) -> Any:  # noqa: ANN401  # ctypes has no type of it
    """The routine that scipy exports to code that is not Python; None if its types are others.

    The name of such a capsule is the routine's type in C, in which Cython calls a double after
    the module that has it.
    """
    name: bytes = _name_of(capsule)
    if re.sub(r"\b__pyx_t_\w+_d\b", "double", name.decode()) != _IN_C:
        return None
    return _DSBEVD(_pointer_of(capsule, name))


_dsbevd = _routine(cython_lapack.__pyx_capi__["dsbevd"])
