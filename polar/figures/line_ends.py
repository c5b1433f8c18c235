"""Numbers at the right ends of lines, moved apart where the ends are close."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

#: Height of a number, as a fraction of the height of axes that are alone in their figure.
NUMBER_HEIGHT = 0.042


@dataclass(frozen=True)
class LineEnd:
    """Where a line ends, and the text to write there."""

    x: float
    y: float
    text: str
    color: str


def number_the_ends(axes: Axes, ends: Sequence[LineEnd], height: float = NUMBER_HEIGHT) -> None:
    """Write each end's text next to it; the y axis must already have limits, the lower near 0."""
    _, top = axes.get_ylim()
    ends = sorted(ends, key=lambda end: -end.y)
    heights = spread(np.array([end.y for end in ends[::-1]]), height * top, top)[::-1]
    for end, at in zip(ends, heights, strict=True):
        axes.annotate(
            end.text,
            xy=(end.x, end.y),
            xytext=(1.04, at),
            textcoords=axes.get_yaxis_transform(),
            color=end.color,
            fontsize="x-small",
            verticalalignment="center",
            annotation_clip=False,
            # Leaders start at the number's left side, where they cross no other number.
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "grey", "relpos": (0, 0.5)},
        )


def spread(
    ends: Float[np.ndarray, " lines"], gap: float, top: float
) -> Float[np.ndarray, " lines"]:
    """Heights from 0 to top, at least a gap apart, that are nearest to the ascending ends.

    They are nearest in the sum of squares, as long as there is room for all gaps.
    """
    # With i gaps subtracted from the i-th height, "a gap apart" becomes "not descending".
    offsets = gap * np.arange(len(ends))
    nearest = _not_descending(ends - offsets)
    heights: Float[np.ndarray, " lines"] = nearest.clip(0, top - offsets[-1]) + offsets
    return heights


def _not_descending(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Isotonic regression: the max over a <= i of the min over b >= i of the mean from a to b.

    It is written here because loading scipy.optimize takes longer than drawing all figures.
    """
    sums = np.concatenate([[0.0], values.cumsum()])
    first, last = np.arange(len(values))[:, None], np.arange(len(values))
    lengths = last - first + 1
    means = np.where(lengths > 0, sums[1:] - sums[:-1, None], np.inf) / np.maximum(lengths, 1)
    least = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
    fitted: Float[np.ndarray, " n"] = np.maximum.accumulate(least, axis=0).diagonal()
    return fitted
