"""The order in which the images of a dataset are used."""

import numpy as np
from jaxtyping import Int64


def order(digest: str, n: int) -> Int64[np.ndarray, " n"]:
    """The permutation of n images that belongs to a digest.

    Sorting raw bits: numpy promises the stream of a bit generator for all versions, but not what
    `permutation` makes of it.
    """
    return np.argsort(np.random.PCG64(int(digest, 16)).random_raw(n), kind="stable")
