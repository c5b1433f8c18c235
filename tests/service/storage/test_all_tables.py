"""What must be known of all modules of storage at once."""

import re
from pathlib import Path

from service.storage import all_tables

SERVICE = Path(__file__).parents[3] / "service"


def test_every_module_that_declares_a_table_is_imported() -> None:
    declaring = {
        path.stem
        for path in (SERVICE / "storage").glob("*.py")
        if "__tablename__ =" in path.read_text()
    }

    assert {"tokens", "webhooks"} <= declaring
    assert declaring == {*all_tables.__all__} - {"Base"} | {"tables"}


def test_locks_of_the_database_have_different_numbers() -> None:
    numbers = [
        int(number)
        for path in SERVICE.rglob("*.py")
        for number in re.findall(r"^\w+_LOCK(?:: Final)? = ([\d_]+)$", path.read_text(), re.M)
    ]

    assert len(numbers) >= 4
    assert len(set(numbers)) == len(numbers)
