"""POSTs with an idempotency key are carried out once; a repeated POST gets the first answer."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from functools import partial
from operator import itemgetter
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Header, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData, UploadFile

from service.api.dependencies import Service, Session
from service.api.door import OWNER, Door
from service.api.problems import Refused
from service.storage import answered_posts
from service.storage.answered_posts import AnsweredPost

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="Makes the request safe to repeat: it is carried out once for each key, and "
        "for a week a repeated request gets the first answer.",
    ),
]


class AnsweredBefore(Exception):
    """A POST with this idempotency key has been answered, and gets that answer again."""

    def __init__(self, post: AnsweredPost) -> None:
        super().__init__(post.key)
        headers = {"Idempotency-Replayed": "true"}
        if post.location is not None:
            headers["Location"] = post.location
        # made here, because the row cannot be read any more when its transaction has ended
        self.answer = Response(post.body, post.status, headers, media_type="application/json")


async def once(request: Request, session: Session, key: IdempotencyKey = None) -> None:
    """Have a POST with a key carried out once; its answer is stored in its own transaction.

    Raises:
        AnsweredBefore: it is a repeated POST.
        Refused: the key belongs to another POST.
    """
    if key is not None:
        asked = _Asked(_who(request), key, _fingerprint(request, await request.body()))
        await _stop_if_answered(session, asked)
        request.state.remember = partial(_remember, session, asked)


async def once_computed(request: Request, service: Service, key: IdempotencyKey = None) -> None:
    """As `once`, for a form that is only computed with, for too long to keep a transaction open.

    If the same POST comes while the first is being computed, both compute, and both get the answer
    of the one that ends first.
    """
    if key is None:
        return
    form = await asyncio.to_thread(_digest_of_form, await request.form())
    asked = _Asked(_who(request), key, _fingerprint(request, form))
    async with service.database.transaction() as session:
        await _stop_if_answered(session, asked)

    async def remember(answer: Response) -> None:
        async with service.database.transaction() as session:
            await _stop_if_answered(session, asked)
            await _remember(session, asked, answer)

    request.state.remember = remember


#: What every POST depends on that changes something; to store an answer is more than to read.
ONCE = Depends(once)


class Remembering(Door):
    """A route behind the door that stores its answer if `once` has asked for it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_and_remember(request: Request) -> Response:
            answer = await handle(request)
            if hasattr(request.state, "remember"):
                await request.state.remember(answer)
            return answer

        return handle_and_remember


def answer_again(_request: Request, error: AnsweredBefore) -> Response:
    """The answer that the first POST with this key was given."""
    return error.answer


class _Asked(NamedTuple):
    """What is known of a POST with a key before it is carried out."""

    principal: str
    key: str
    fingerprint: str


async def _stop_if_answered(session: AsyncSession, asked: _Asked) -> None:
    known = await answered_posts.with_key(session, asked.principal, asked.key)
    if known is None:
        return
    if known.fingerprint != asked.fingerprint:
        detail = f"the Idempotency-Key {asked.key} was used for another request; use a new one"
        raise Refused(422, "idempotency-key-reused", detail)
    raise AnsweredBefore(known)


async def _remember(session: AsyncSession, asked: _Asked, answer: Response) -> None:
    post = AnsweredPost(
        **asked._asdict(),
        status=answer.status_code,
        location=answer.headers.get("location"),
        body=bytes(answer.body),
    )
    await answered_posts.remember(session, post)


def _who(request: Request) -> str:
    return str(request.state.principal.token_id or OWNER)


def _fingerprint(request: Request, body: bytes) -> str:
    """Digest of all that a POST asks: path, parameters, and body."""
    asked = f"{request.url.path}?{request.url.query}\n".encode() + body
    return hashlib.sha256(asked).hexdigest()


def _digest_of_form(form: FormData) -> bytes:
    """Digest of the fields and files of a form; the boundary between them differs each time."""
    digest = hashlib.sha256()
    for name, value in sorted(form.multi_items(), key=itemgetter(0)):
        if isinstance(value, UploadFile):
            # a spooled file has `readinto`, which its type does not say
            content = hashlib.file_digest(value.file, "sha256").hexdigest()  # type: ignore[arg-type]
            value.file.seek(0)
            digest.update(f"{name}: file {content}\n".encode())
        else:
            digest.update(f"{name}: {value!r}\n".encode())
    return digest.digest()
