"""Refuses unknown and repeated parameters, headers, form fields and JSON keys."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from polar.spec.faults import Fault, Schema, first_faults, nearest, pointer_to, shortened
from polar.spec.text import read_json
from service.api.parameters import schema_of_request
from service.api.problems import invalid

Value = TypeVar("Value")


async def refuse_what_is_ambiguous(request: Request) -> None:
    """Refuse unknown and repeated parameters, headers, fields of forms and keys of JSON.

    Pages, which the documentation does not describe, take whatever stands in their address.

    Raises:
        Refused: the request has some; the first 50 are named.
    """
    if not request.scope["route"].include_in_schema:
        return
    elsewhere, in_body = [*_in_query(request), *_in_headers(request)], await _in_body(request)
    if elsewhere or in_body:
        faults = first_faults([*elsewhere, *in_body])
        raise invalid(request, faults, is_of_body=bool(in_body))


def _in_query(request: Request) -> Iterator[Fault]:
    if request.query_params:
        known = _fields(schema_of_request(request), "query")
        for name, values in _by_name(request.query_params.multi_items()).items():
            if name not in known:
                yield _unknown(("query", name), values[0], known, "parameter")
            elif len(values) > 1 and known[name].get("type") != "array":
                yield _repeated(("query", name), values)


def _in_headers(request: Request) -> Iterator[Fault]:
    """Repeated headers among those that the route reads; proxies may well repeat others."""
    twice = [name for name, count in Counter(request.headers.keys()).items() if count > 1]
    if twice:
        known = {name.lower(): name for name in _fields(schema_of_request(request), "header")}
        known["content-type"] = "Content-Type"
        for name in twice:
            if name in known:
                yield _repeated(("header", known[name]), request.headers.getlist(name))


async def _in_body(request: Request) -> list[Fault]:
    if request.scope["route"].body_field is None:
        return []
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return list(_in_form(await request.form(), _fields(schema_of_request(request), "body")))
    if kind == "application/json":
        return await run_in_threadpool(_in_json, await request.body())
    return []


def _in_form(form: FormData, known: Mapping[str, Schema]) -> Iterator[Fault]:
    for name, values in _by_name(form.multi_items()).items():
        if name not in known:
            yield _unknown((name,), _shown(values[0]), known, "field")
        elif len(values) > 1:
            yield _repeated((name,), [_shown(value) for value in values])
        else:
            yield from _of_wrong_kind(name, values[0], is_file="contentMediaType" in known[name])


def _of_wrong_kind(name: str, value: UploadFile | str, *, is_file: bool) -> Iterator[Fault]:
    if isinstance(value, str) and is_file:
        message, allowed = "this is sent as text", f"a file; with curl: -F {name}=@FILE"
    elif not isinstance(value, str) and not is_file:
        message, allowed = "this is sent as a file", f"text; with curl: -F {name}=VALUE"
    elif value == "":
        message, allowed = "this is empty", "a value, or no such field"
    else:
        return
    yield _fault((name,), message, "wrong_kind", _shown(value), allowed)


def _in_json(body: bytes) -> list[Fault]:
    try:
        _, repeated = read_json(body) if body else (None, [])
    except RecursionError:  # no spec is nested so deeply, so it will be refused as a spec
        return []
    return [_repeated((*entry.keys, entry.key), entry.values) for entry in repeated]


def _by_name(items: Iterable[tuple[str, Value]]) -> Mapping[str, list[Value]]:
    values: dict[str, list[Value]] = {}
    for name, value in items:
        values.setdefault(name, []).append(value)
    return values


def _fields(schema: Schema, place: str) -> Mapping[str, Schema]:
    fields: Mapping[str, Schema] = schema["properties"][place].get("properties", {})
    return fields


def _unknown(keys: tuple[str, ...], value: str, known: Collection[str], what: str) -> Fault:
    fault = _fault(keys, f"there is no such {what}", "unknown", value, ", ".join(known) or "none")
    return fault.model_copy(update={"suggestion": nearest(keys[-1], known)})


def _repeated(keys: tuple[str | int, ...], values: Collection[object]) -> Fault:
    shown = ", then ".join(shortened(value)[:30] for value in values)
    return _fault(keys, "this is given more than once", "repeated", shown, "each once")


def _fault(
    keys: tuple[str | int, ...], message: str, kind: str, value: str, allowed: str
) -> Fault:
    return Fault(
        pointer=pointer_to(keys),
        message=message,
        type=kind,
        value=value[:80],
        allowed=allowed,
        suggestion=None,
    )


def _shown(value: UploadFile | str) -> str:
    return value if isinstance(value, str) else f"the file {value.filename}"
