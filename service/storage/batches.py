"""Many rows, a few at a time.

Nothing else happens in a process while it prepares a statement or reads its rows. For a thousand
rows at once that would be half a second, in which nobody is answered.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: Number of rows of which one statement is made.
ROWS = 50


def batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """The rows in their order, `ROWS` at a time."""
    for begin in range(0, len(rows), ROWS):
        yield rows[begin : begin + ROWS]
