from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures import explained_by_the_most_used

Made = Callable[..., pd.DataFrame]
Check = Callable[[Figure], None]
LATENTS = pd.DataFrame({"latent": [0, 1, 2], "label": ["active", "passive", "active"]})
CURVE = pd.DataFrame(
    {"k": range(4), "latent": [None, 2, 0, 1], "explained": [-0.1, 0.5, 0.8, 0.8]}
)


def test_each_latent_is_where_it_comes_in_with_its_label() -> None:
    axes = explained_by_the_most_used(CURVE, LATENTS).axes[0]

    points = {
        f"{line.get_marker()}": np.stack([line.get_xdata(), line.get_ydata()], axis=1).tolist()
        for line in axes.lines
    }
    assert points["None"] == [[0, -0.1], [1, 0.5], [2, 0.8], [3, 0.8]]
    assert points["D"] == [[0, -0.1]]
    assert points["o"] == [[1, 0.5], [2, 0.8]]
    assert points["s"] == [[3, 0.8]]
    assert [text.get_text() for text in axes.texts] == ["2", "0", "1"]


@pytest.mark.parametrize("latents", [1, 16, 64])
def test_no_text_overlaps(latents: int, made: Made, is_readable: Check) -> None:
    run = made("run", latents)

    is_readable(explained_by_the_most_used(made("keep_curve", run), run[run["step"] == 8000]))


@pytest.mark.parametrize(
    ("curve", "latents", "reason"),
    [
        (CURVE[:0], LATENTS, "empty"),
        (CURVE.drop(columns="k"), LATENTS, r"without the columns \['k'\]"),
        (CURVE, LATENTS[:2], "of different latents"),
        (CURVE[:3], LATENTS, "of different latents"),
        (CURVE.assign(k=1), LATENTS, "more than one row"),
        (CURVE, LATENTS.assign(label="busy"), "busy"),
    ],
)
def test_unusable_tables_are_refused(
    curve: pd.DataFrame, latents: pd.DataFrame, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        explained_by_the_most_used(curve, latents)
