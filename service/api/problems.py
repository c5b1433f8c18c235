"""Refusals: every error is answered as application/problem+json (RFC 9457)."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from polar.spec import SpecPart
from polar.spec.faults import MOST_FAULTS, Fault, find_faults
from service.api.parameters import schema_of_request
from service.api.request_ids import HEADER
from service.api.schemas import Problem
from service.logs import request_id
from service.storage.errors import (
    AmbiguousId,
    Conflict,
    DatabaseAway,
    DatabaseBusy,
    EarlierVersion,
    NotFound,
    StorageError,
)

log = logging.getLogger(__name__)

#: Nobody sees this answer: its number, which is nginx's, stands in the log.
CLIENT_GONE = 499
#: Parts of an OpenAPI document, which FastAPI gives and takes as raw JSON.
OpenAPI = dict[str, Any]
MEDIA_TYPE = "application/problem+json"
STATUS_OF: dict[type[StorageError], int] = {
    NotFound: 404,
    Conflict: 409,
    AmbiguousId: 409,
    EarlierVersion: 409,
    DatabaseAway: 503,
    DatabaseBusy: 503,
}
#: The words for errors that share their status with others.
WORD_OF: dict[type[StorageError], str] = {AmbiguousId: "ambiguous-id", DatabaseBusy: "busy"}
WORDS = {
    400: "malformed",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    413: "too-large",
    503: "away",
}


class Refused(Exception):
    """The API refuses a request and names everything that is wrong with it."""

    def __init__(
        self,
        status: int,
        word: str,
        detail: str,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.word = word
        self.errors = errors
        self.headers = headers


def refusal_of(fault: Fault, word: str = "invalid-request") -> Refused:
    """The refusal of a request, or of a spec, with this fault alone."""
    return Refused(422, word, str(fault), [fault])


def install(app: FastAPI) -> None:
    """Make the app answer every error as a problem."""
    app.exception_handler(Refused)(refused)
    app.exception_handler(StorageError)(_storage_error)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(ClientDisconnect)(_client_left)
    app.exception_handler(Exception)(_unexpected)
    app.openapi = partial(_openapi_with_problems, app, app.openapi)  # type: ignore[method-assign]


def refusals(*statuses: int) -> dict[int | str, OpenAPI]:
    """Refusals of a route for its documentation, in the type that FastAPI declares."""
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in statuses
    }


def _openapi_with_problems(app: FastAPI, openapi: Callable[[], OpenAPI]) -> OpenAPI:
    """Documentation of the app, as OpenAPI's own JSON, which FastAPI passes around as it is.

    FastAPI gives refusals the media type of other answers, so their media type is replaced.
    """
    if app.openapi_schema:
        return app.openapi_schema
    schema = openapi()
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in schema["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    response["content"] = content
    return schema


def client_gone() -> Refused:
    """Refusal of a request whose client has left, so that nobody will see the answer."""
    return Refused(CLIENT_GONE, "client-gone", "the client went away before its answer")


def refused(request: Request, error: Refused) -> Response:
    """Answer to a request that was refused."""
    return _problem(
        request, error.status, error.word, str(error), errors=error.errors, headers=error.headers
    )


def _storage_error(request: Request, error: StorageError) -> Response:
    if type(error) not in STATUS_OF:
        raise error
    status = STATUS_OF[type(error)]
    word = WORD_OF.get(type(error), WORDS[status])
    return _problem(request, status, word, str(error))


def _invalid(request: Request, error: RequestValidationError) -> Response:
    details = error.errors()
    if details[0]["type"] == "json_invalid":
        at, why = details[0]["loc"][-1], details[0]["ctx"]["error"]
        return _problem(request, 400, "malformed", f"the body is not JSON: {why} at byte {at}")
    in_body = [{**each, "loc": each["loc"][1:]} for each in details if each["loc"][0] == "body"]
    elsewhere = [each for each in details if each["loc"][0] != "body"]
    spec, schema = _spec_of(request), schema_of_request(request)
    body = spec.model_json_schema() if spec else {**schema, **schema["properties"]["body"]}
    faults = [*find_faults(in_body, body), *find_faults(elsewhere, schema)]
    return refused(request, invalid(request, faults, is_of_body=bool(in_body)))


def invalid(request: Request, faults: Sequence[Fault], *, is_of_body: bool) -> Refused:
    """Refusal of a request that has these faults in its body or elsewhere."""
    word = "invalid-spec" if is_of_body and _spec_of(request) else "invalid-request"
    count = len(faults) if len(faults) <= MOST_FAULTS else f"more than {MOST_FAULTS}"
    detail = f"{count} fault{'s' * (len(faults) > 1)}: {'; '.join(map(str, faults[:3]))}"
    return Refused(422, word, detail, faults)


def _spec_of(request: Request) -> type[SpecPart] | None:
    """The spec class of the request's body; None for a route whose body is not a spec."""
    body = request.scope["route"].body_field
    kind = body.field_info.annotation if body else None
    return kind if isinstance(kind, type) and issubclass(kind, SpecPart) else None


def _http_error(request: Request, error: HTTPException) -> Response:
    if isinstance(error.__cause__, ClientDisconnect):
        return refused(request, client_gone())
    is_form = request.headers.get("content-type", "").startswith("multipart/")
    details = {
        400: f"the form cannot be read: {error.detail}"
        if is_form
        else "the body cannot be read as JSON in UTF-8; no spec needs a number of more than 4,300 "
        "digits, or nesting that exhausts the reader",
        404: f"there is nothing at {request.url.path}",
        405: f"{request.method} is not allowed at {request.url.path}",
    }
    detail = details.get(error.status_code, error.detail)
    word = WORDS.get(error.status_code, "refused")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (allowed := _methods_here(request)):
        headers["Allow"] = ", ".join(allowed)
    return _problem(request, error.status_code, word, detail, headers=headers)


def _client_left(request: Request, _error: ClientDisconnect) -> Response:
    return refused(request, client_gone())


def _methods_here(request: Request) -> list[str]:
    """The methods of all routes at the path of a request; FastAPI names those of one route."""
    paths = request.app.openapi()["paths"].items()
    here = [
        operations for path, operations in paths if compile_path(path)[0].match(request.url.path)
    ]
    return sorted({method.upper() for operations in here for method in operations})


def _unexpected(request: Request, _error: Exception) -> Response:
    return _problem(request, 500, "internal", "the service failed; its log has the request_id")


def _problem(
    request: Request,
    status: int,
    word: str,
    detail: str,
    *,
    errors: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    problem = Problem(
        type=f"urn:polar:problem:{word}",
        title="Client Closed Request" if status == CLIENT_GONE else HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        request_id=request_id.get() or uuid4().hex,
        errors=list(errors),
    )
    log.log(
        logging.ERROR if status == 500 else logging.INFO,
        "request %s: %s %s refused with %d: %s",
        problem.request_id, request.method, problem.instance, status, detail,
    )  # fmt: skip
    # "replace": a key of the request may hold half a surrogate pair, which UTF-8 cannot encode
    body = json.dumps(problem.model_dump(), ensure_ascii=False).encode("utf-8", "replace")
    named = {**(headers or {}), HEADER: problem.request_id}
    return Response(body, status, named, media_type=MEDIA_TYPE)
