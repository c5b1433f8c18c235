"""Arrays as people have them: their exact values, or a refusal that names the place."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from polar.errors import InvalidInput
from polar.regime.arrays import as_array, as_float64

X = np.array([[1.5, -2.0, 0.25], [4.0, 0.0, 8.0]])  # exact in every float


@pytest.mark.parametrize(
    "of",
    [
        lambda x: x.astype(">f8"),
        lambda x: x.astype("<f2"),
        lambda x: x.astype(np.longdouble),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1][::-1],
        lambda x: np.ma.masked_array(x, mask=False),
        lambda x: np.matrix(x),
        lambda x: x.tolist(),
        lambda x: x.astype(object),
        lambda x: pd.DataFrame(x),
        lambda x: pd.DataFrame(x).astype("Float64"),
        lambda x: pd.DataFrame(x).astype(pd.SparseDtype(float)),
        lambda x: torch.tensor(x, requires_grad=True),
        lambda x: torch.tensor(x, dtype=torch.bfloat16),
        lambda x: torch.tensor(x, dtype=torch.float8_e4m3fn),
        lambda x: torch.tensor(x).T.contiguous().T,
        lambda x: torch.tensor(x + 0j).real,
        lambda x: torch.tensor(-1j * x).conj().imag,  # which is a view with a negative bit
    ],
)
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_every_kind_of_array_has_its_exact_values(of: Callable[[np.ndarray], np.ndarray]) -> None:
    taken = as_float64("mean", of(X))

    assert type(taken) is np.ndarray
    assert taken.dtype == np.float64
    np.testing.assert_array_equal(taken, X)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ma.masked_greater(X, 5.0), r"mean is masked at latent 2 in image 1 \(1 of 6 values"),
        (np.ma.masked_invalid([np.nan, 1.0]), "mean is masked at place 0"),
        (np.ma.masked, "mean is masked at its only place"),
        (scipy.sparse.csr_matrix(X), "mean is a sparse csr_matrix; allowed: dense arrays"),
        (scipy.sparse.coo_array(X), "mean is a sparse coo_array; allowed: dense arrays"),
        (torch.tensor(X).to_sparse(), "mean is a sparse_coo tensor; allowed: dense tensors"),
        (
            torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
            "mean is a nested tensor",
        ),
        (torch.empty(2, 3, device="meta"), "mean is a tensor on the device meta"),
        ([[1.0, 2.0], [3.0]], "mean is no array: .*inhomogeneous"),
        (np.array([[1.0, None]], object), "mean has None of type NoneType at latent 1 in image 0"),
        (np.array([[1.0, "a"]], object), "mean has 'a' of type str at latent 1 in image 0"),
        (np.array([[True, 2.0]], object), "mean has True of type bool at latent 0 in image 0"),
        (np.array([Fraction(1, 3)], object), "mean has Fraction.* at place 0"),
        (np.array([10**400], object), "mean has an integer beyond all floats"),
        (pd.DataFrame({"a": ["1", "2"]}), "mean has '1' of type str at latent 0 in image 0"),
        (np.array(["1.5"]), "mean of <U3; allowed: real numbers"),
        (np.array([b"1.5"]), r"mean of \|S3; allowed: real numbers"),
        (np.array(["2020-01-01"], "M8[D]"), r"mean of datetime64\[D\]; allowed: real numbers"),
        (np.zeros(2, [("a", float)]), r"mean of \[\('a', '<f8'\)\]; allowed: real numbers"),
        (X + 0j, "mean of complex128; allowed: real numbers"),
        (X > 0, "mean of bool; allowed: real numbers"),
        (torch.tensor(X > 0), "mean of bool; allowed: real numbers"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused(values: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        as_float64("mean", values)


def test_a_longdouble_beyond_float64_becomes_infinite_without_a_warning() -> None:
    assert np.isinf(as_float64("mean", np.array([np.longdouble("1e4000")]))).all()


def test_text_and_truth_values_are_arrays_too() -> None:
    assert as_array("labels", np.array(["a", "b"])).tolist() == ["a", "b"]
    assert as_array("labels", torch.tensor([True, False])).tolist() == [True, False]
