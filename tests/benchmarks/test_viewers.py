"""The viewers of the benchmark are as patient as the script of the pages makes browsers."""

import re
from pathlib import Path

from benchmarks import viewers
from service.api import pages

SCRIPT = Path(pages.__file__).parent / "static" / "polar.js"


def constant(name: str) -> float:
    (value,) = re.findall(rf"^const {name} = ([\d._]+);$", SCRIPT.read_text(), re.MULTILINE)
    return float(value)


def test_a_viewer_rests_as_long_as_a_browser() -> None:
    assert constant("SHARE") == viewers.SHARE
    assert constant("LONGEST_MS") == viewers.LONGEST_S * 1000
