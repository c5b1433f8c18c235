from typing import Any

import numpy as np
import pandas as pd
import pytest

from polar.errors import InvalidInput
from polar.figures.tables import distinct, labels_of, one_of, read
from polar.records.latents import Label


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {"latent": [0, 1], "nats": [0.5, 1.0], "gap": [None, 2.0], "label": ["active", "passive"]},
        index=[7, 7],
    )


def test_the_columns_asked_for_are_read_as_numbers_and_words() -> None:
    rows = read(table(), ["latent", "nats"], ["label"], optional=["gap"], key=["latent"])

    assert rows.columns.tolist() == ["latent", "nats", "label", "gap"]
    assert rows["nats"].tolist() == [0.5, 1.0]
    assert rows["gap"].isna().tolist() == [True, False]
    assert rows.index.tolist() == [0, 1]


def test_reading_leaves_the_table_as_it_was() -> None:
    given = table()

    rows = read(given, ["latent"], ["label"])
    rows["latent"] += 1

    pd.testing.assert_frame_equal(given, table())


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(InvalidInput, match="empty table; allowed: at least 1 row"):
        read(table().iloc[:0], ["nats"])


def test_missing_columns_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"without the columns \['step'\]; needed: .*nats"):
        read(table(), ["nats", "step"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, None, "much"])
def test_what_is_no_finite_number_is_refused_with_its_row(value: float | str | None) -> None:
    values: list[Any] = [0.5, value]
    given = table().assign(nats=values)

    with pytest.raises(InvalidInput, match=r"nats is .* in row 1; allowed: finite numbers"):
        read(given, ["nats"])


@pytest.mark.parametrize("value", [np.inf, "much"])
def test_an_optional_column_may_have_gaps_and_nothing_worse(value: float | str | None) -> None:
    values: list[Any] = [np.nan, value]
    given = table().assign(gap=values)

    with pytest.raises(InvalidInput, match=r"gap is .* in row 1; allowed: finite numbers"):
        read(given, optional=["gap"])


def test_negative_numbers_are_refused_where_there_can_be_none() -> None:
    with pytest.raises(InvalidInput, match=r"nats is -1.0 in row 1; allowed: 0 or more"):
        read(table().assign(nats=[0.0, -1.0]), ["nats"], at_least_0=["nats"])


def test_a_number_in_a_column_of_words_is_refused() -> None:
    with pytest.raises(InvalidInput, match="label is 1 in row 0; allowed: text"):
        read(table().assign(label=[1, "active"]), [], ["label"])


def test_two_rows_of_one_key_are_refused() -> None:
    given = pd.concat([table(), table()])

    with pytest.raises(InvalidInput, match=r"more than one row of {'latent': 0.0}"):
        read(given, ["latent"], key=["latent"])


def test_labels_are_known_words() -> None:
    assert labels_of(table()["label"]) == [Label.ACTIVE, Label.PASSIVE]
    with pytest.raises(InvalidInput, match="label is 'busy' in row 0; allowed: active, passive"):
        labels_of(pd.Series(["busy"], name="label"))


def test_a_figure_of_one_model_refuses_two() -> None:
    assert one_of(pd.DataFrame({"model": ["ivae", "ivae"]}), "model") == "ivae"
    with pytest.raises(InvalidInput, match=r"several values of model, \['beta_vae', 'ivae'\]"):
        one_of(pd.DataFrame({"model": ["ivae", "beta_vae"]}), "model")


def test_distinct_words_keep_their_order() -> None:
    assert distinct(pd.Series(["b", "a", "b"])) == ["b", "a"]
