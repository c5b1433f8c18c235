"""Contact sheets show each picture in its place."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures import prior_samples, reconstructions, traversals

Made = Callable[..., pd.DataFrame]
Check = Callable[[Figure], None]

LATENTS = pd.DataFrame(
    {
        "latent": [0, 1, 2],
        "judged_entropy_nats": [0.1, 2.0, 1.0],
        "label": ["passive", "active", "mixed"],
        "usage_nats": [0.0, 30.0, None],
    }
)


def sheet_of(figure: Figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def test_a_reconstruction_is_beneath_its_original(made: Made) -> None:
    table = made("pictures", ["image"], 3, kind=["original", "reconstruction"])
    table["pixels"] = [bytes([10 * row]) * 64 for row in range(6)]

    sheet = sheet_of(reconstructions(table))

    assert sheet.shape == (2 * 8 + 1, 3 * 8 + 2)
    assert sheet[4, [4, 13, 22]].tolist() == [0, 10, 20]
    assert sheet[13, [4, 13, 22]].tolist() == [30, 40, 50]


def test_colours_stay_colours(made: Made) -> None:
    table = made("pictures", ["sample"], 1, channels=3)
    table["pixels"] = [bytes([200]) * 64 + bytes([100]) * 64 + bytes([50]) * 64]

    assert sheet_of(prior_samples(table))[0, 0].tolist() == [200, 100, 50]


def test_latents_are_rows_by_descending_entropy(made: Made) -> None:
    table = made("pictures", ["latent"], 3, quantile=[0.1, 0.9]).assign(value=0.0)
    table["pixels"] = [bytes([10 * latent]) * 64 for latent in table["latent"]]

    figure = traversals(table, LATENTS)

    assert sheet_of(figure)[[4, 13, 22], 4].tolist() == [10, 20, 0]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [
        "1 active, H 2.00, usage 30.0",
        "2 mixed, H 1.00",
        "0 passive, H 0.10, usage 0.0",
    ]
    quantiles = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert quantiles == ["10 %", "90 %"]


def test_of_many_latents_the_widest_are_shown_and_the_title_says_so(made: Made) -> None:
    run = made("run", 100)
    final = run[run["step"] == run["step"].max()]
    table = made("pictures", ["latent"], 100, quantile=[0.1, 0.5, 0.9]).assign(value=0.0)

    figure = traversals(table, final)

    assert len(figure.axes[0].get_yticklabels()) == 40
    assert figure.get_suptitle() == "What each latent does (60 of lower entropy are not shown)"


@pytest.mark.parametrize("latents", [1, 16, 64])
def test_no_text_overlaps(latents: int, made: Made, is_readable: Check) -> None:
    run = made("run", latents)
    final = run[run["step"] == run["step"].max()]
    quantiles = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
    walks = made("pictures", ["latent"], latents, side=32, quantile=quantiles).assign(value=0.0)
    final = final.assign(label="undetermined")  # the longest word

    is_readable(traversals(walks, final))
    kinds = ["original", "reconstruction"]
    is_readable(reconstructions(made("pictures", ["image"], 10, side=32, kind=kinds)))
    is_readable(prior_samples(made("pictures", ["sample"], 40, side=32)))


def test_pictures_that_are_none_are_refused(made: Made) -> None:
    table = made("pictures", ["sample"], 2)
    short = table.assign(pixels=[b"", b""])

    with pytest.raises(InvalidInput, match="0 bytes; allowed: 1 or 3 channels, 64 bytes"):
        prior_samples(short)
    with pytest.raises(InvalidInput, match="pictures of 2 shapes"):
        prior_samples(table.assign(side=[8, 4]))
    with pytest.raises(InvalidInput, match="allowed: one shape, and a column pixels"):
        prior_samples(table.drop(columns="pixels"))
    with pytest.raises(InvalidInput, match="2 originals and 0 reconstructions"):
        reconstructions(made("pictures", ["image"], 2, kind=["original"]))
