from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from polar.errors import InvalidInput
from polar.figures.entropies import entropy_heatmap, entropy_lines, sorted_entropies
from polar.records.latents import Label

LOG_SPACED = [1, 3, 10, 30, 100, 300, 800, 900, 1000]
EVENLY_SPACED = [200, 400, 600, 800, 1000]

Made = Callable[..., pd.DataFrame]
Check = Callable[[Figure], None]


def table_of(courses: Sequence[Sequence[float]], steps: Sequence[int]) -> pd.DataFrame:
    """A row for every step and latent; a course is the entropies of one latent."""
    return pd.DataFrame(
        {
            "step": step,
            "latent": j,
            "entropy_nats": course[i],
            "judged_entropy_nats": course[i],
            "label": "active" if course[i] > 0.25 else "passive",
        }
        for i, step in enumerate(steps)
        for j, course in enumerate(courses)
    )


def grown(finals: Sequence[float], steps: Sequence[int]) -> pd.DataFrame:
    """Latents whose entropies grow evenly to their final ones."""
    parts = np.linspace(0, 1, len(steps) + 1)[1:]
    return table_of([[float(final * part) for part in parts] for final in finals], steps)


def drawn_axes(figure: Figure) -> Axes:
    figure.draw_without_rendering()  # ticks and layout are made while drawing
    return figure.axes[0]


def across(line: Line2D) -> list[float]:
    return list(map(float, np.asarray(line.get_xdata())))


def up(line: Line2D) -> list[float]:
    return list(map(float, np.asarray(line.get_ydata())))


def step_labels(axes: Axes) -> list[Text]:
    """The texts in sight below the axes, from left to right."""
    low, high = axes.get_xlim()
    ticks = sorted(axes.xaxis.get_major_ticks(), key=lambda tick: tick.get_loc())
    return [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]


def texts_of(labels: Sequence[Text]) -> list[str]:
    return [label.get_text() for label in labels]


def test_sorted_entropies_descend_and_keep_their_labels() -> None:
    axes = drawn_axes(sorted_entropies(grown([0.1, 1.5, 0.2, 1.75], [5, 10]), 0.25))

    active, passive, tau = axes.lines
    assert across(active) == [1, 2]
    assert up(active) == [1.75, 1.5]
    assert across(passive) == [3, 4]
    assert up(passive) == [0.2, 0.1]
    assert up(tau) == [0.25, 0.25]


def test_idle_latents_have_a_ring_and_held_out_entropies_a_cross() -> None:
    table = grown([0.1, 1.5, 1.0], [5, 10]).assign(
        is_idle=[0.0, 0.0, 0.0, 0.0, 0.0, 1.0], difference_nats=[0, 0, 0, 0.25, -0.125, 0.5]
    )

    figure = sorted_entropies(table, 0.25)

    crosses, rings = figure.axes[0].lines[2:4]
    assert (across(crosses), up(crosses)) == ([1, 2, 3], [1.375, 1.5, 0.35])
    assert (across(rings), up(rings)) == ([2], [1.0])
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[-2:] == ["on held-out images", "idle: active, but hardly used"]


def test_active_and_passive_differ_in_more_than_colour() -> None:
    table = grown([0.1, 1.5], [5, 10])

    active, passive, tau = drawn_axes(sorted_entropies(table, 0.25)).lines
    active_line, passive_line, tau_line = drawn_axes(entropy_lines(table, 0.25)).lines

    assert active.get_color() != passive.get_color()
    assert active.get_marker() != passive.get_marker()
    assert active.get_markerfacecolor() != passive.get_markerfacecolor()
    styles = [line.get_linestyle() for line in (active_line, passive_line, tau_line)]
    assert len(set(styles)) == 3
    assert tau.get_linestyle() == tau_line.get_linestyle() == "--"


def test_lines_are_the_courses_of_the_latents() -> None:
    courses = [[0.0, 0.125, 0.5], [1.0, 0.5, 0.1]]

    axes = drawn_axes(entropy_lines(table_of(courses, [100, 200, 300]), 0.25))

    highest, lowest, tau = axes.lines  # by final entropy
    assert across(highest) == across(lowest) == [100, 200, 300]
    assert up(highest) == courses[0]
    assert up(lowest) == courses[1]
    assert up(tau) == [0.25, 0.25]


def test_a_line_has_the_style_of_its_final_label() -> None:
    fallen, risen = [1.0, 0.1], [0.1, 1.0]

    axes = drawn_axes(entropy_lines(table_of([fallen, risen], [100, 200]), 0.25))

    styles = {tuple(up(line)): line.get_linestyle() for line in axes.lines[:2]}
    assert styles == {tuple(risen): "-", tuple(fallen): ":"}


@pytest.mark.parametrize(
    ("steps", "scale"),
    [
        (LOG_SPACED, "log"),
        ([1, 55, 800, 900, 1000], "log"),
        ([300, 420, 600, 850, 1200, 1700, 2400], "log"),
        (EVENLY_SPACED, "linear"),
        ([1, 1000], "linear"),
        ([1000], "linear"),
        ([0, 1, 10, 100, 1000], "linear"),
    ],
)
def test_steps_are_on_the_axis_that_spaces_them_more_evenly(steps: list[int], scale: str) -> None:
    axes = drawn_axes(entropy_lines(grown([1.0], steps), 0.25))

    assert axes.get_xscale() == scale


@pytest.mark.parametrize(
    ("steps", "labels"),
    [
        ([1, 10, 100, 1000, 10_000], ["1", "10", "100", "1,000", "10,000"]),
        ([300, 420, 600, 850, 1200, 1700, 2400], ["500", "1,000", "2,000"]),
        ([1000, 2000, 3000, 4000], ["1,000", "2,000", "3,000", "4,000"]),
        ([1, 2, 3], ["1", "2", "3"]),
        ([4], ["0", "1", "2", "3", "4"]),
    ],
)
def test_steps_are_written_as_whole_numbers_once_each(steps: list[int], labels: list[str]) -> None:
    axes = drawn_axes(entropy_lines(grown([1.0], steps), 0.25))

    assert texts_of(step_labels(axes)) == labels


@pytest.mark.parametrize(("latents", "numbers"), [(1, 1), (16, 16), (17, 0), (128, 0)])
def test_lines_are_numbered_up_to_sixteen(latents: int, numbers: int) -> None:
    axes = drawn_axes(entropy_lines(grown([0.1] * latents, EVENLY_SPACED), 0.25))

    assert texts_of(axes.texts) == [str(j) for j in range(numbers)]


def test_the_numbers_of_close_lines_do_not_overlap() -> None:
    figure = entropy_lines(grown([0.05] * 8 + [1.5] * 8, LOG_SPACED), 0.25)

    axes = drawn_axes(figure)

    # of the text alone, without the line that leads to it
    boxes = [Text.get_window_extent(number) for number in axes.texts]
    assert all(below.y1 <= above.y0 for above, below in pairwise(boxes))
    frame = axes.get_window_extent()
    # half a number may stand out above the frame
    assert boxes[-1].y0 >= frame.y0 - 10
    assert boxes[0].y1 <= frame.y1 + 10


def test_the_heat_map_has_the_highest_latent_on_top() -> None:
    courses = [[0.0, 0.1], [0.5, 1.5], [1.0, 0.5]]

    axes = drawn_axes(entropy_heatmap(table_of(courses, [100, 200])))

    (image,) = axes.images
    assert np.asarray(image.get_array()).tolist() == [courses[1], courses[2], courses[0]]
    assert image.get_clim() == (0.0, 1.5)
    assert image.get_cmap().name == "cividis"
    assert texts_of(axes.get_yticklabels()) == ["1", "2", "0"]
    assert axes.get_ylim() == (3.5, 0.5)
    assert texts_of(step_labels(axes)) == ["100", "200"]


def test_the_heat_map_writes_as_many_steps_as_fit_and_always_the_last() -> None:
    steps = [1_000_000 * i for i in range(1, 21)]

    axes = drawn_axes(entropy_heatmap(grown([1.0, 0.1], steps)))

    assert texts_of(step_labels(axes)) == [f"{million},000,000" for million in (4, 8, 12, 16, 20)]
    boxes = [label.get_window_extent() for label in step_labels(axes)]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_the_heat_map_of_many_latents_counts_ranks_from_one() -> None:
    axes = drawn_axes(entropy_heatmap(grown([0.1] * 128, EVENLY_SPACED)))

    assert axes.get_ylim() == (128.5, 0.5)
    assert axes.get_ylabel() == "rank of the latent by final entropy"


@pytest.mark.parametrize("latents", [1, 16, 128])
@pytest.mark.parametrize("steps", [[1000], LOG_SPACED, [0, 1]])
def test_axes_name_quantity_and_unit(latents: int, steps: list[int]) -> None:
    table = grown(np.linspace(0, 1.5, latents).tolist(), steps)

    ranked = drawn_axes(sorted_entropies(table, 0.25))
    lines = drawn_axes(entropy_lines(table, 0.25))
    heat_map = entropy_heatmap(table)

    assert ranked.get_ylabel() == lines.get_ylabel() == "entropy (nats)"
    assert (ranked.get_xlabel(), lines.get_xlabel()) == (
        "rank of the latent by entropy",
        "training step",
    )
    assert drawn_axes(heat_map).get_xlabel() == "training step of the evaluation"
    assert heat_map.axes[1].get_ylabel() == "entropy (nats)"


def test_the_legend_counts_the_labels_and_states_the_threshold() -> None:
    table = grown([0.1, 1.5, 1.75], LOG_SPACED)

    for figure in (sorted_entropies(table, 0.25), entropy_lines(table, 0.25)):
        (legend,) = figure.legends
        assert texts_of(legend.get_texts()) == ["active (2)", "passive (1)", "τ = 0.25 nats"]


def test_sorted_entropies_may_be_of_codes_that_polar_never_trained() -> None:
    figure = sorted_entropies(grown([0.1, 1.5], [0]), 0.25)

    words = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "Entropies of the latents" in words
    assert "training" not in words


def test_a_silent_space_is_drawn_on_a_scale_of_its_own() -> None:
    table = grown([0.0, 0.0], LOG_SPACED)

    assert drawn_axes(sorted_entropies(table, 0.0)).get_ylim()[1] == 1.0
    assert drawn_axes(entropy_heatmap(table)).images[0].get_clim() == (0.0, 1.0)


def test_the_threshold_is_in_sight_of_a_collapsed_space() -> None:
    axes = drawn_axes(sorted_entropies(grown([0.01, 0.0], LOG_SPACED), 0.25))

    assert axes.get_ylim()[1] > 0.25


def test_the_order_of_the_rows_is_of_no_account() -> None:
    table = grown([0.1, 1.5, 1.75], LOG_SPACED)
    shuffled = table.sample(frac=1, random_state=0)

    as_made, as_shuffled = entropy_lines(table, 0.25), entropy_lines(shuffled, 0.25)

    lines = zip(as_made.axes[0].lines, as_shuffled.axes[0].lines, strict=True)
    for line, same in lines:
        assert (across(line), up(line)) == (across(same), up(same))
        assert line.get_linestyle() == same.get_linestyle()


@pytest.mark.parametrize("latents", [1, 16, 128])
def test_no_text_overlaps(latents: int, made: Made, is_readable: Check) -> None:
    table = made("run", latents, latents // 2, 0)
    labels = np.resize([label.value for label in Label], latents)
    table["label"] = table["latent"].map(lambda latent: labels[latent])

    is_readable(sorted_entropies(table, 0.25))
    is_readable(entropy_lines(table, 0.25))
    is_readable(entropy_heatmap(table))


def test_labels_go_by_the_judged_entropy_and_the_marginal_one_is_shown_beside(made: Made) -> None:
    table = made("run", 4, 2, 0, is_ivae=True)
    final = table[table["step"] == table["step"].max()].set_index("latent")

    figure = sorted_entropies(table, 0.25)

    active, passive, marginal, _ = drawn_axes(figure).lines
    judged = final["judged_entropy_nats"].sort_values(ascending=False)
    assert up(active) + up(passive) == judged.tolist()
    assert up(marginal) == final.loc[judged.index, "entropy_nats"].tolist()
    assert "entropy of the mean as it is" in texts_of(figure.legends[0].get_texts())


def test_mixed_and_undetermined_latents_have_marks_where_they_occur() -> None:
    table = grown([1.75, 1.5, 0.2, 0.1], [5, 10])
    table["label"] = ["active", "mixed", "passive", "undetermined"] * 2

    figure = sorted_entropies(table, 0.25)

    marks = {(line.get_marker(), *across(line)) for line in drawn_axes(figure).lines[:4]}
    assert marks == {("o", 1.0), ("^", 2.0), ("s", 3.0), ("x", 4.0)}
    assert texts_of(figure.legends[0].get_texts()) == [
        "active (1)",
        "passive (1)",
        "mixed (1)",
        "undetermined (1)",
        "τ = 0.25 nats",
    ]


@pytest.mark.parametrize("draw", [sorted_entropies, entropy_lines])
def test_unusable_tables_are_refused(draw: Callable[[pd.DataFrame, float], Figure]) -> None:
    table = grown([1.0, 0.1], [1, 2])

    with pytest.raises(InvalidInput, match="empty table"):
        draw(table.iloc[:0], 0.25)
    with pytest.raises(InvalidInput, match=r"without the columns \['label'\]"):
        draw(table.drop(columns="label"), 0.25)
    with pytest.raises(InvalidInput, match="judged_entropy_nats is nan in row 0"):
        draw(table.assign(judged_entropy_nats=np.nan), 0.25)
    with pytest.raises(InvalidInput, match=r"more than one row of .*one run"):
        draw(pd.concat([table, table]), 0.25)
    with pytest.raises(InvalidInput, match="latents differ between steps"):
        draw(table.iloc[1:], 0.25)
    with pytest.raises(InvalidInput, match="label is 'busy'"):
        draw(table.assign(label="busy"), 0.25)
