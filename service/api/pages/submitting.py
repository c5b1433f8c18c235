"""/submit: writes a spec, says what is wrong with it and what it costs, and submits it."""

import hashlib
import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec.yaml12 import dump
from service.api import submission
from service.api.dependencies import Parts, Reading, Service, know_for_a_page
from service.api.door import OWNER, needs, who_may
from service.api.experiments.schemas import NewExperiment
from service.api.ids import Digits
from service.api.once import once
from service.api.pages.bills import Bill, bill_of
from service.api.pages.door import PageDoor
from service.api.pages.drafts import Draft, examples, read
from service.api.pages.rendering import page
from service.api.problems import Refused
from service.api.studies.schemas import NewStudy
from service.storage import experiments, runs, studies
from service.storage.errors import NotFound
from service.storage.ids import id_of
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run
from service.tokens import Scope

MAY_SUBMIT = needs(Scope.SUBMIT)
KNOWS_AGENTS = Depends(know_for_a_page)

router = APIRouter(prefix="/submit", route_class=PageDoor, include_in_schema=False)


async def written(request: Request) -> tuple[str, str]:
    """The text of the form, and the key of the page that sent it."""
    await request.body()  # kept, because `once` reads it again
    form = await request.form()
    text, key = form.get("spec", ""), form.get("key", "")
    return str(text), str(key)


Written = Annotated[tuple[str, str], Depends(written)]


@router.get("", dependencies=[MAY_SUBMIT, KNOWS_AGENTS])
async def submit_page(
    request: Request,
    session: Reading,
    example: Annotated[str | None, Query(max_length=100)] = None,
    study: Digits | None = None,
    run: Digits | None = None,
    experiment: Digits | None = None,
) -> Response:
    """The page with an empty draft, with an example, or with the spec of what there is."""
    if study is not None:
        text = dump((await studies.get(session, await id_of(session, Study, study))).spec)
    elif experiment is not None:
        id = await id_of(session, Experiment, experiment)
        text = dump((await experiments.get(session, id)).spec)
    elif run is not None:
        text = dump((await runs.get(session, await id_of(session, Run, run))).spec)
    elif example is not None and example not in examples():
        raise NotFound("example named", example)
    else:
        text = examples()[example] if example is not None else ""
    return await _shown(request, session, await read(text))


@router.post("/check", dependencies=[MAY_SUBMIT, KNOWS_AGENTS])
async def check(request: Request, session: Reading, form: Written) -> Response:
    """The page again with what is wrong with the draft, or what it costs."""
    return await _shown(request, session, await read(form[0]), key=form[1])


@router.post("", dependencies=[MAY_SUBMIT, KNOWS_AGENTS])
async def submit(request: Request, service: Service, form: Written) -> Response:
    """Submit the draft, and lead to what it has become; or the page again with its faults."""
    text, key = form
    draft = await read(text)
    if draft.new is not None:
        try:
            return await _submitted(request, service, draft.new, _key_of(key, text))
        except Refused as refusal:
            if not refusal.errors:
                raise
            draft = Draft(draft.text, faults=refusal.errors)
    async with service.database.transaction() as session:
        return await _shown(request, session, draft, key=key, status=422)


async def _submitted(
    request: Request, service: Parts, new: NewExperiment | NewStudy, key: str
) -> Response:
    """Submit a draft once for each key.

    The transaction is not that of the request, whose refusals become pages, so that it would be
    committed.
    """
    async with service.database.transaction() as session:
        await once(request, session, key)
        if isinstance(new, NewStudy):
            study = await submission.submit_study(session, new.spec, new.said)
            place = f"/studies/{study.id}"
        else:
            made = await submission.submit(
                session, service.queue, new.spec, force=False, said=new.said
            )
            place = f"/experiments/{made.id}"
        answer = RedirectResponse(place, status_code=303)
        await request.state.remember(answer)
    return answer


def _key_of(page_key: str, text: str) -> str:
    """A key for this text alone, so that who goes back and changes it submits something new."""
    asked = f"{page_key} {text}".encode("utf-8", "replace")
    return f"page-{hashlib.sha256(asked).hexdigest()}"


async def _shown(
    request: Request, session: AsyncSession, draft: Draft, *, key: str = "", status: int = 200
) -> Response:
    bill: Bill | None = None
    if draft.new is not None:
        try:
            bill = await bill_of(session, draft.new.spec)
        except Refused as refusal:
            draft = Draft(draft.text, faults=refusal.errors)
    return await page(
        "submit.html",
        status,
        tab="submit",
        draft=draft,
        bill=bill,
        is_study=isinstance(draft.new, NewStudy),
        examples=examples(),
        key=key or secrets.token_urlsafe(16),
        login=who_may(request, Scope.SUBMIT).token_id or OWNER,
    )
