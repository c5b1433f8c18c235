"""The notebook of first steps does what its stored outputs show, on a stack of its own."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from service.embedded.running import running_stack
from service.homes import token_of

NOTEBOOK = Path(__file__).parents[2] / "docs" / "first-steps.ipynb"
PATIENCE_S = 900


def outputs(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, list[str]]]:
    """The first word of each cell of code, and the kinds of what it shows."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shown = [kind for output in cell.outputs for kind in output.get("data", {"text": ""})]
            yield cell.source.split()[0], sorted(shown)


def test_the_notebook_shows_what_it_is_stored_with(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, notebook = (
        nbformat.reads(NOTEBOOK.read_text(), as_version=4)  # type: ignore[no-untyped-call]
        for _ in range(2)
    )
    (sizes,) = (cell for cell in notebook.cells if cell.source.startswith("steps = "))
    sizes.source = "steps = 40\ntrials = 3"

    with running_stack(open_folder / "home", agents=1, device="cpu") as stack:
        monkeypatch.setenv("POLAR_URL", stack.api_url)
        monkeypatch.setenv("POLAR_TOKEN", token_of(open_folder / "home") or "")
        NotebookClient(notebook, timeout=PATIENCE_S).execute()  # it raises what a cell raises

    shown = list(outputs(stored))
    assert list(outputs(notebook)) == shown
    assert {"image/svg+xml", "image/png", "text/html"} < {kind for _, of in shown for kind in of}
