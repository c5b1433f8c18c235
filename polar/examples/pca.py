"""PCA of handwritten digits: no network, no prior, no groups.

    python -m polar.examples.pca

The variances of the components fall smoothly, so there are no two groups to find: the verdict is
`forming`, and the rules that look for a gap find none.
"""

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from polar.measurement.measure import measure
from polar.records.measurement import Measurement


def main() -> Measurement:
    """Measure the scores of all components, for images with pixels in [0, 1]."""
    digits = load_digits()
    scores = PCA().fit_transform(digits.data / 16)  # (1797, 64)
    return measure(scores, labels=digits.target)


if __name__ == "__main__":
    print(main().explanation)
