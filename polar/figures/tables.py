"""What the figures require of their tables."""

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
    """A copy of the columns that a figure reads, after checking them.

    Args:
        table: One row for each thing that is drawn.
        numbers: Columns of finite numbers.
        words: Columns of text.
        optional: Columns of finite numbers that may have gaps (None or NaN).
        at_least_0: Those of these columns that have no negative numbers.
        key: Columns that together identify a row.

    Raises:
        InvalidInput: the table is empty or lacks a column, a column has a value of another kind,
            or two rows have the same key.
    """
    columns = [*numbers, *words, *optional]
    if table.empty:
        raise InvalidInput("the figure has an empty table; allowed: at least 1 row")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InvalidInput(f"the table is without the columns {missing}; needed: {columns}")
    read = table[columns].reset_index(drop=True)
    for column in [*numbers, *optional]:
        read[column] = _numbers(read[column], has_gaps=column in optional)
    for column in at_least_0:
        _refuse(read[column], read[column].to_numpy() < 0, "0 or more")
    for column in words:
        _refuse(read[column], ~np.array([isinstance(word, str) for word in read[column]]), "text")
    repeated = read.duplicated([*key]).to_numpy() if key else np.array([False])
    if repeated.any():
        first = {column: read[column].tolist()[repeated.argmax()] for column in key}
        raise InvalidInput(
            f"the table has more than one row of {first}; allowed: one row each, of one run"
        )
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
    """The single value of a column, such as the model of all runs.

    Raises:
        InvalidInput: the column has several values.
    """
    values = sorted({f"{value}" for value in table[column]})
    if len(values) > 1:
        raise InvalidInput(f"the table has several values of {column}, {values}; allowed: one")
    return values[0]


def labels_of(column: pd.Series) -> list[Label]:
    """The labels in a column.

    Raises:
        InvalidInput: a word is not a label.
    """
    refuse_others(column, [label.value for label in Label])
    return [Label(word) for word in column]


def are_idle(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Which latents of a table are idle, by its column `is_idle`; none where that is not known."""
    if "is_idle" not in table.columns:
        return np.zeros(len(table), dtype=np.bool_)
    return table["is_idle"].fillna(0).to_numpy(dtype=np.bool_)


def refuse_others(column: pd.Series, known: Collection[str]) -> None:
    """Refuse a column with a word that is not known.

    Raises:
        InvalidInput: a word is not known; the message lists those that are.
    """
    _refuse(column, ~column.isin(list(known)).to_numpy(), ", ".join(known))


def lists_of(column: pd.Series, known: Collection[str]) -> list[list[str]]:
    """The lists of words in a column; an array counts as a list, and a missing list is empty.

    Raises:
        InvalidInput: a value is not a list, or has a word that is not known.
    """
    is_missing = column.isna().to_numpy()
    are_known = [_are_known(value, known) for value in column]
    _refuse(column, ~(is_missing | np.array(are_known)), f"lists of {', '.join(known)}")
    return [
        [] if missing else list(value) for value, missing in zip(column, is_missing, strict=True)
    ]


def _are_known(value: object, known: Collection[str]) -> bool:
    return isinstance(value, list | tuple | np.ndarray) and all(
        isinstance(word, str) and word in known for word in value
    )


def distinct(column: pd.Series) -> list[str]:
    """The distinct words of a column, in the order in which they first occur."""
    return list(dict.fromkeys(column))
