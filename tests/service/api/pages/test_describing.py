"""Names, tags and notes on pages: shown as they were written, and never as HTML."""

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, StudyMaker, Worker

API = "/api/v1"
HOSTILE = "</textarea><script>alert('x')</script>\"&"


@pytest.mark.parametrize("kind", ["experiments", "runs", "studies"])
async def test_a_note_is_text_with_its_line_breaks(
    http: httpx.AsyncClient,
    worker: "Worker",
    spec_of: "SpecMaker",
    study_of: "StudyMaker",
    kind: str,
) -> None:
    await worker.announce()
    experiment = (await http.post(f"{API}/experiments", json=spec_of.as_json())).json()
    study = (await http.post(f"{API}/studies", json=study_of())).json()
    made = {"experiments": experiment, "runs": experiment["runs"][0], "studies": study}
    path = f"{kind}/{made[kind]['id']}"
    said = {"name": "my name", "tags": {"a/b": HOSTILE, "good": ""}, "note": f"# {HOSTILE}\n\nx"}
    assert (await http.patch(f"{API}/{path}", json=said)).status_code == 200

    text = (await http.get(f"/{path}")).text

    escaped = "&lt;/textarea&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&#34;&amp;"
    assert "<script>alert" not in text
    assert f'<p class="note"># {escaped}\n\nx</p>' in text
    assert f">a/b={escaped}</a>" in text
    assert ">good</a>" in text
    assert f"\na/b={escaped}\ngood\n</textarea>" in text
    assert f"\n# {escaped}\n\nx</textarea>" in text
    assert 'value="my name"' in text
