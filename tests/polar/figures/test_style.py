import numpy as np
import pytest
from matplotlib.colors import to_rgb

from polar.errors import InvalidInput
from polar.figures import style
from polar.records.latents import Label


def test_every_label_has_marks_of_its_own() -> None:
    for styles in (style.MARKS, style.LINES):
        assert set(styles) == set(Label)
        assert len({one["marker"] for one in styles.values()}) == len(Label)
        assert len({one["color"] for one in styles.values()}) == len(Label)
    assert len({one["linestyle"] for one in style.LINES.values()}) == len(Label)


def test_series_differ_in_more_than_colour() -> None:
    looks = [(one["marker"], f"{one['linestyle']}") for one in style.SERIES]

    assert len({marker for marker, _ in looks}) == len(style.SERIES)
    assert len({line for _, line in looks}) == len(style.SERIES)


def test_the_parts_of_a_bar_differ_in_brightness_and_hatching() -> None:
    known, rest = style.INFORMATION, style.RESIDUAL

    brightness = [np.dot([0.3, 0.59, 0.11], to_rgb(one["facecolor"])) for one in (known, rest)]
    assert brightness[1] - brightness[0] > 0.3
    assert "hatch" in rest
    assert "hatch" not in known


def test_more_series_than_styles_are_refused() -> None:
    with pytest.raises(InvalidInput, match="estimators in one figure is 9; allowed: at most 8"):
        style.series([f"{i}" for i in range(9)], "estimators")


@pytest.mark.parametrize(
    ("name", "weight", "text"),
    [("beta", 0.5, "β = 0.5"), ("lambda", 1e-4, "λ = 0.0001"), ("strength", 4.0, "strength = 4")],
)
def test_weights_are_named_as_in_the_paper(name: str, weight: float, text: str) -> None:
    assert style.name_weight(name, weight) == text
