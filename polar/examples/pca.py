"""PCA of handwritten digits: no network, no prior, no groups.

    python -m polar.examples.pca

The components' variances fall smoothly, so that there are no two groups to be found: the verdict
is `forming`, and the rules that look for a gap see none.
"""

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from polar.measurement.measure import measure
from polar.records.measurement import Measurement


def main() -> Measurement:
    """Measures the scores of all components, of images with pixels in [0, 1]."""
    digits = load_digits()
    scores = PCA().fit_transform(digits.data / 16)  # (1797, 64)
    return measure(scores, labels=digits.target)


if __name__ == "__main__":
    print(main().explanation)
