"""What the figures ask of their tables."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from polar.errors import InvalidInput
from polar.records.latents import Label


def read(
    table: pd.DataFrame,
    numbers: Sequence[str] = (),
    words: Sequence[str] = (),
    *,
    optional: Sequence[str] = (),
    at_least_0: Sequence[str] = (),
    key: Sequence[str] = (),
) -> pd.DataFrame:
    """The columns that a figure reads, checked, in a table of their own.

    Args:
        table: One row for each thing that is drawn.
        numbers: Columns of finite numbers.
        words: Columns of text.
        optional: Columns of finite numbers that may have gaps (None or NaN).
        at_least_0: Which of these columns have no negative numbers.
        key: Columns that together tell the rows apart.

    Raises:
        InvalidInput: the table is empty, lacks a column, has something else in a column, or two
            rows have the same key.
    """
    columns = [*numbers, *words, *optional]
    if table.empty:
        raise InvalidInput("a figure of an empty table; allowed: at least 1 row")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InvalidInput(f"a table without the columns {missing}; needed: {columns}")
    read = table[columns].reset_index(drop=True)
    for column in [*numbers, *optional]:
        read[column] = _numbers(read[column], has_gaps=column in optional)
    for column in at_least_0:
        _refuse(read[column], read[column].to_numpy() < 0, "0 or more")
    for column in words:
        _refuse(read[column], ~np.array([isinstance(word, str) for word in read[column]]), "text")
    doubled = read.duplicated([*key]).to_numpy() if key else np.array([False])
    if doubled.any():
        first = {column: read[column].tolist()[doubled.argmax()] for column in key}
        raise InvalidInput(f"more than one row of {first}; allowed: one each (of one run)")
    return read


def _numbers(column: pd.Series, *, has_gaps: bool) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = ~np.isfinite(numbers.to_numpy())
    if has_gaps:
        wrong &= ~column.isna().to_numpy()
    _refuse(column, wrong, "finite numbers")
    return numbers


def _refuse(column: pd.Series, wrong: NDArray[np.bool_], allowed: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        value = column.tolist()[row]
        raise InvalidInput(f"{column.name} is {value!r} in row {row}; allowed: {allowed}")


def one_of(table: pd.DataFrame, column: str) -> str:
    """The one value of a column, such as the model of all runs.

    Raises:
        InvalidInput: there are several.
    """
    values = sorted({f"{value}" for value in table[column]})
    if len(values) > 1:
        raise InvalidInput(f"a figure of several values of {column}, {values}; allowed: one")
    return values[0]


def labels_of(column: pd.Series) -> list[Label]:
    """A column of labels.

    Raises:
        InvalidInput: a word is not a label.
    """
    refuse_others(column, [label.value for label in Label])
    return [Label(word) for word in column]


def refuse_others(column: pd.Series, known: Collection[str]) -> None:
    """Lets a column of known words pass.

    Raises:
        InvalidInput: a word is not known.
    """
    _refuse(column, ~column.isin(list(known)).to_numpy(), ", ".join(known))


def distinct(column: pd.Series) -> list[str]:
    """The words of a column, each once, in the order of their first rows."""
    return list(dict.fromkeys(column))
