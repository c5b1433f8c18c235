"""Several studies over each other: where their bars lie, and whether they agree, in words."""

import re
import shutil
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from polar.records.ranges import Interval
from service.api.pages.overlay_chart import Bands, Bar, overlay_chart
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.service.api.pages.conftest import Look
    from tests.service.conftest import Trials, Worker

Found = Callable[..., Awaitable[UUID]]
Edge = tuple[float | None, float | None]


def interval(left: Edge, right: Edge) -> dict[str, Any]:
    names = ("low", "high")
    return {
        side: {**dict(zip(names, edge, strict=True)), "confidence": 0.9, "movement": None}
        for side, edge in (("left", left), ("right", right))
    }


def bands(left: Edge, right: Edge, ends: tuple[float, float] = (0.01, 100.0)) -> Bands:
    return Bands(UUID(int=1), "a", "", ends, [Interval.model_validate(interval(left, right))])


@pytest.fixture(autouse=True)
async def _agent(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
def found(create: Create, trials: "Trials") -> Found:
    """A study of this name that has found this band."""

    async def found(name: str, left: Edge, right: Edge, **fields: Any) -> UUID:  # noqa: ANN401
        study_id = await create(name=name, **fields)
        band = interval(left, right)
        headline = f"{name} is clean"
        await trials.end_study(
            study_id, outcome="found", intervals=[band], envelope=band, headline=headline
        )
        return study_id

    return found


async def words_of(http: httpx.AsyncClient, *study_ids: UUID) -> str:
    answer = await http.get("/overlay", params={"study": list(map(str, study_ids))})
    assert answer.status_code == 200
    return " ".join(answer.text.split())


def test_bars_lie_on_a_common_logarithmic_axis() -> None:
    chart = overlay_chart([bands((0.1, 1.0), (10.0, None)), bands((1, 1), (1, 1), (1.0, 1e4))])
    ticks = {word: x for x, word in chart.ticks}
    first, second = chart.rows

    def ends(bar: Bar) -> tuple[float, float]:
        return bar.x, round(bar.x + bar.width, 1)

    assert ends(first.searched) == (ticks["0.01"], ticks["100"])
    assert ends(first.cores[0]) == (ticks["1"], ticks["10"])
    assert [ends(bar) for bar in first.edges] == [
        (ticks["0.1"], ticks["1"]),
        (ticks["10"], ticks["100"]),  # an open edge reaches to the end of the search
    ]
    assert ends(second.searched) == (ticks["1"], ticks["10,000"])
    assert second.cores[0].width >= 1.0
    assert second.top > first.top + chart.bar


async def test_studies_whose_bands_agree(http: httpx.AsyncClient, found: Found) -> None:
    first = await found("one", (0.1, 0.2), (10.0, 20.0))
    second = await found("two", (0.15, 0.3), (15.0, None))

    shown = await words_of(http, first, second)

    assert "2 studies over each other" in shown
    assert "In both bands, wherever exactly their edges lie: 0.3..10." in shown
    assert "<td>not known to be settled</td>" in shown  # of both edges, said once
    assert "The left edges may lie at the same weight" in shown
    assert "The right edges may lie at the same weight" in shown
    assert f'<a href="/studies/{first}" aria-label="one: one is clean">' in shown
    assert '<td class="n">0.1..0.2</td><td class="n">10..20</td><td>90 % over seeds</td>' in shown
    assert "<dt>two</dt><dd>two is clean</dd>" in shown


async def test_seeds_are_counted_as_in_the_list(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create(base={"dataset": {"name": "digits"}, "model": {}, "seeds": [0, 1]})
    for seed in (0, 1):
        await trials.begin(study_id, beta=2.0, seed=seed)

    assert "<li>2 seeds</li>" in (await http.get("/")).text
    row = re.search(r"<tbody> (.*?)</tr>", await words_of(http, study_id))
    assert row is not None
    assert '<td class="n"></td><td class="n">2</td><td colspan="4">it has no' in row.group(1)


async def test_studies_whose_bands_differ(http: httpx.AsyncClient, found: Found) -> None:
    ids = [
        await found("one", (0.1, 0.2), (0.5, 0.6)),
        await found("two", (1.0, 1.1), (10.0, 20.0)),
        await found("three", (2.0, 2.1), (None, 12.0)),
    ]

    shown = await words_of(http, *ids)

    assert "No weight is certainly in all 3 bands." in shown
    assert "The left edges differ: 0.1..0.2 in one, and 2..2.1 in three." in shown
    assert "The right edges differ: 0.5..0.6 in one, and 10..20 in two." in shown


async def test_other_fields_are_not_compared_as_they_are(
    http: httpx.AsyncClient, found: Found
) -> None:
    l2_ae = {
        "base": {"dataset": {"name": "digits"}, "model": {"name": "l2_ae"}},
        "search": {"model.gamma": {"log_uniform": [1e-5, 1]}},
    }
    first = await found("one", (0.1, 0.2), (10.0, 20.0))
    second = await found("two", (0.1, 0.2), (0.3, 0.4), **l2_ae)

    shown = await words_of(http, first, second)
    assert "They sweep different fields (model.beta, model.gamma)" in shown


async def test_a_study_without_a_band_has_its_row_and_its_words(
    http: httpx.AsyncClient, create: Create, found: Found
) -> None:
    search: dict[str, Any] = {
        "model.beta": {"log_uniform": [0.01, 100]}, "training.batch_size": {"choices": [32, 64]},
    }  # fmt: skip
    new, wide = await create(name="new"), await create(search=search, sampler="random")

    shown = await words_of(http, new, wide, await found("one", (0.1, 0.2), (10.0, 20.0)))

    assert "it has no range yet" in shown
    assert "it does not sweep a single field of numbers above 0" in shown
    assert shown.count('<rect class="searched"') == 2
    assert "may lie at the same weight" not in shown
    alone = await words_of(http, wide)
    assert "<svg" not in alone
    assert "Tick two or more" in alone


async def test_what_cannot_be_laid_over_each_other(http: httpx.AsyncClient) -> None:
    assert "0 studies over each other" in await words_of(http)
    assert (await http.get(f"/overlay?study={uuid4()}")).status_code == 404
    assert (await http.get("/overlay?study=nothing")).status_code == 422
    many = await http.get("/overlay", params={"study": [str(uuid4())] * 17})
    assert (many.status_code, "at most 16" in many.text) == (422, True)


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")
async def test_ticked_studies_are_laid_over_each_other(look: "Look", found: Found) -> None:
    for name, left in (("one", (0.1, 0.2)), ("two", (1.0, 1.1))):
        await found(name, left, (10.0, 20.0))
    async with look(width=390, scheme="dark") as page:
        for name in ("one", "two"):
            await page.get_by_role("checkbox", name=f"overlay study {name}").check()
        await page.get_by_role("button", name="Overlay the ticked studies").click()

        title = page.get_by_role("heading", level=1)
        await expect(title).to_have_text("2 studies over each other")
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        faults = (await Axe().run(page)).response["violations"]
        assert [each["id"] for each in faults if each["impact"] in ("serious", "critical")] == []
        await page.get_by_role("link", name="two: two is clean").click()
        await expect(title).to_contain_text("two")
