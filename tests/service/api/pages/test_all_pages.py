"""All kinds of pages with all that they can show: they fit, axe allows them, all is their own."""

import math
import re
from html.parser import HTMLParser
from itertools import combinations, product
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe

from polar.records.latents import Label

if TYPE_CHECKING:
    from tests.service.api.pages.conftest import Look, Scheme

WIDTHS = (390, 1600)
SCHEMES: tuple["Scheme", ...] = ("light", "dark")
#: Colours and dashes of the curves of a chart, and of the keys of its legend, of which each stands
#: for the curve of its place.
STROKES = """curves => curves.map((curve) => {
    const { stroke, strokeDasharray } = getComputedStyle(curve);
    return [...stroke.match(/\\d+/g).map(Number), strokeDasharray];
})"""


class _Addresses(HTMLParser):
    """Collects what a page would load, ask or be styled by; links alone may lead elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        if tag == "style" or "style" in of or (tag == "script" and "src" not in of):
            self.faults.append(f"{tag} {of}")
        loads = ("src", "srcset", "action", "formaction", "data", "poster", "data-live")
        names = (*loads, "data-post", "data-fetch", "data-describe", "data-check")
        self.loaded += [address for name in names if (address := of.get(name))]
        if tag in ("link", "use", "image") and (address := of.get("href")):
            self.loaded.append(address)


def oklab(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """A colour of sRGB, 0 to 255, in Ottosson's space, where distances are as people see them."""
    parts = [part / 255 for part in (red, green, blue)]
    r, g, b = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    long = math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
    middle = math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
    short = math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


async def test_pages_take_nothing_from_elsewhere(
    http: httpx.AsyncClient, contents: list[str]
) -> None:
    for path in contents:
        page = _Addresses((await http.get(path)).text)
        assert page.faults == [], path
        assert {"/static/polar.css", "/static/polar.js"} < set(page.loaded)
        assert [each for each in page.loaded if not each.startswith(("/", "#"))] == [], path
        assert [each for each in page.loaded if each.startswith("//")] == [], path


async def test_the_legend_of_a_run_has_the_labels_of_all_of_its_latents(
    http: httpx.AsyncClient, shown_run: UUID
) -> None:
    course = (await http.get(f"/runs/{shown_run}")).text.partition('id="latents"')[0]

    keys = re.findall(r'<path class="(.*?)" d="M0 8H32"/></svg> (\w+)', course)
    labels = [label.value for label in Label]
    assert keys == [*((f"curve {label}", label) for label in labels), ("tau", "tau")]


@pytest.mark.browser
async def test_pages_fit_into_their_window_and_axe_finds_no_serious_fault(
    look: "Look", contents: list[str]
) -> None:
    faults = []
    async with look() as page:
        for path in contents:
            await page.goto(path)
            for width, scheme in product(WIDTHS, SCHEMES):
                where = f"{path} at {width} in {scheme}"
                await page.set_viewport_size({"width": width, "height": 900})
                await page.emulate_media(color_scheme=scheme)
                wide = await page.evaluate("document.documentElement.scrollWidth")
                if wide != width:
                    faults.append(f"{where}: {wide} wide")
                faults += [
                    f"{where}: {each['id']} {each['nodes'][0]['html']}"
                    for each in (await Axe().run(page)).response["violations"]
                    if each["impact"] in ("serious", "critical")
                ]
    assert faults == []


@pytest.mark.browser
async def test_curves_can_be_told_apart_and_are_what_their_legend_shows(
    look: "Look", compared: str
) -> None:
    async with look(compared) as page:
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            curves = await page.locator("svg.curves .curve").evaluate_all(STROKES)
            keys = await page.locator(".legend .curve").evaluate_all(STROKES)

            assert len(curves) == 8
            assert keys == curves
            for (*one, dash), (*other, its_dash) in combinations(curves, 2):
                far = 0.12 if dash == its_dash else 0.08
                assert math.dist(oklab(*one), oklab(*other)) > far, (scheme, one, other)
