"""Renders the pages from their templates."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from polar.records.latents import Flaw, Regime, Verdict
from polar.records.words import regime_in_words, settled_in_words
from polar.spec import DATASETS, MODELS
from polar.spec.fields import LONGEST_NAME
from service.api import links
from service.api.pages.charts import across
from service.api.pages.figure_words import figure_words
from service.api.runs import words
from service.descriptions import LONGEST_NOTE

#: Nothing of a page comes from elsewhere, and no page of another site shows it in a frame.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


async def page(template: str, status: int = 200, **content: Any) -> HTMLResponse:  # noqa: ANN401
    """The page that a template makes of this content, in a thread: others need not wait."""
    content["status"] = status
    text = await asyncio.to_thread(_environment().get_template(template).render, content)
    return HTMLResponse(text, status, HEADERS)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("service.api.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "short": short,
        "named": named,
        "number": number,
        "duration": duration,
        "moment": moment,
        "verdict": verdict,
        "settled": settled_in_words,
        "pretty": pretty,
        "across": across,
        "hundredths": hundredths,
        "headline": words.headline,
        "weight": words.weight_of,
        "figure_words": figure_words,
    }
    environment.globals |= {
        "known_models": tuple(MODELS),
        "known_datasets": tuple(DATASETS),
        "longest_name": LONGEST_NAME,
        "longest_note": LONGEST_NOTE,
        "to_model": links.to_model,
        "to_figure": links.to_figure,
    }
    return environment


def short(id: object) -> str:
    return str(id)[:8]


def named(part: Mapping[str, Any]) -> str:
    """The name of the model or dataset of a spec, which users have given to those of their own."""
    return str(part.get("class") or part.get("added") or part["name"])


def number(value: object) -> str:
    """Such as `1,234` or `0.3142`; empty for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def hundredths(value: float | None) -> str:
    return "" if value is None else f"{value:z.2f}"


def duration(seconds: float | None) -> str:
    return "" if seconds is None else f"{timedelta(seconds=round(seconds))}"


def moment(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def verdict(of: Verdict | None) -> str:
    """The regime with its flaws, such as `forming (idle, leak)`; empty without a verdict."""
    if of is None:
        return ""
    return in_words(of.regime, of.flaws)


def in_words(regime: Regime, flaws: Sequence[Flaw]) -> str:
    """Such as `under-regularised`, or `forming (idle, leak)`."""
    return regime_in_words(regime, flaws).replace("_", "-")


def pretty(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)
