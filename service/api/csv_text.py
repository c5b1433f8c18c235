"""Tables as CSV, for people and for whoever pastes them into a spreadsheet."""

import csv
import io
import json
from collections.abc import Iterable


def csv_of(names: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """A line of names and a line for each row; what is None stays empty."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows(map(_cell, row) for row in rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    """The value, or its JSON if it has parts, because programs can take JSON apart."""
    return json.dumps(value) if isinstance(value, dict | list) else value
