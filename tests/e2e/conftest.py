"""What the tests of whole stacks share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """As `tmp_path`, but Postgres, which root runs as another user, can get in.

    Else its data would go to a folder of the system, and stay there.
    """
    folder = Path(tempfile.mkdtemp(prefix="polar-home-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
