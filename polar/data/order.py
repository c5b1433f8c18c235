"""The order in which the images of a dataset are used."""

import numpy as np
from jaxtyping import Int64


def order(digest: str, n: int) -> Int64[np.ndarray, " n"]:
    """The permutation of n images that belongs to a digest.

    It sorts raw bits, because numpy promises the same stream of a bit generator in all versions,
    but not the same result of `permutation`.
    """
    return np.argsort(np.random.PCG64(int(digest, 16)).random_raw(n), kind="stable")
