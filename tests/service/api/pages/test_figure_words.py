"""What the pages say of figures to those who cannot see them."""

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx

from polar.figures import run
from polar.records.phases import StudyFigure
from service.api.pages.figure_words import SHOWN, figure_words

if TYPE_CHECKING:
    from tests.service.conftest import Worker


def test_every_figure_of_a_run_and_of_a_study_has_its_words() -> None:
    drawn = re.findall(r'Picture\(\s*"(\w+)"', inspect.getsource(run))
    alone = [draw.__name__ for draw in run.DRAWN_ALONE.values()]
    # pages draw the phase diagram themselves
    of_studies = [name.value for name in StudyFigure if name is not StudyFigure.PHASE_DIAGRAM]

    assert len(drawn) == 11
    assert sorted(SHOWN) == sorted([*drawn, *alone, *of_studies])


async def test_a_figure_says_what_it_shows(
    http: httpx.AsyncClient, run_id: UUID, worker: "Worker", tmp_path: Path
) -> None:
    for name in ("prior_samples", "of_mine"):
        await worker.save(run_id, tmp_path, f"figures/{name}.png", b"\x89PNG")

    shown = (await http.get(f"/runs/{run_id}")).text

    assert re.findall('alt="([^"]+)"', shown) == [
        "of mine", "what the model draws from samples of its prior",
    ]  # fmt: skip
    assert figure_words("prior_samples") == figure_words("prior_samples.png")
