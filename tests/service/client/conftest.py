"""A server that answers by a script."""

from collections.abc import Iterator

import pytest

from tests.service.client.scripts import Script, served_script


@pytest.fixture
def script() -> Iterator[Script]:
    with served_script() as script:
        yield script
