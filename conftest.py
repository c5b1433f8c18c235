"""Checks the shapes of arrays in all tests; pytest loads this before anything imports `polar`."""

from pathlib import Path

from jaxtyping import install_import_hook

ROOT = Path(__file__).parent
#: Where arrays come from our own code; what users call must itself refuse whatever is no array.
INSIDE = (
    *("polar.data", "polar.downstream", "polar.entropy", "polar.measurement.economy"),
    *("polar.measurement.remarks", "polar.models", "polar.ranges", "polar.regime"),
    "polar.training",
)
#: Modules without arrays are left to mypy: each call that is checked takes tens of microseconds.
WITH_ARRAYS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "polar").rglob("*.py"))
    if "from jaxtyping import" in path.read_text()
]

install_import_hook(
    [module for module in WITH_ARRAYS if module.startswith(INSIDE)], "beartype.beartype"
)
