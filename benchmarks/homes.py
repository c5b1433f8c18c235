"""Homes of stacks that a benchmark starts."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.embedded.state import choose_port, write_json


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A home whose ports are not the usual ones, because another stack may have those."""
    home = Path(tempfile.mkdtemp(prefix="polar-benchmark-"))
    ports = {name: choose_port() for name in ("api", "mlflow", "dashboard")}
    write_json(home / "ports.json", ports)
    try:
        yield home
    finally:
        shutil.rmtree(home)
