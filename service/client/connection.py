"""Sends requests to one service, and repeats them while nobody answers."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
from pydantic import ValidationError

from polar.errors import InvalidInput
from service.addresses import http_url, reach
from service.api.health.schemas import Health
from service.api.run_events import RUN_EVENT, RunEvent
from service.api.schemas import Problem, ResponseModel
from service.client.errors import ClientError, Refused, StackChanges, Unreachable
from service.homes import (
    PublishedApi,
    find_api,
    home_of_environment,
    resolved_home,
    token_of,
    what_changes,
)

#: Seconds before the second, third, ... try of a request that nobody answered.
PAUSES_S = (0.2, 0.5, 1.0, 2.0)
#: Seconds to wait for an answer.
TIMEOUT_S = 60.0
#: Seconds to wait for the next part of a stream, of which one comes at least every 15 s.
STREAM_S = 30.0

_HEALTH = "/healthz"

V = TypeVar("V", bound=ResponseModel)


class Connection:
    """Speaks HTTP with one service, and repeats requests while nobody answers.

    Every POST has an idempotency key, so that it is carried out once however often it is sent; but
    answers that hold tokens are not kept, so those POSTs may be done and then be refused.

    Raises (all methods):
        Unreachable: nothing answers, or something else than the service, or another home's stack.
        Refused: the service refuses the request.
    """

    def __init__(
        self,
        url: str | None,
        home: Path | None,
        pauses_s: Sequence[float] | None,
        token: str | None = None,
    ) -> None:
        url = url or ("" if home else os.environ.get("POLAR_URL"))
        self._home = Path(home) if home else home_of_environment()
        self._own = _own_api(self._home, url) if url else _api_of(self._home)
        self._token = token or _token_for(self._home if self._own else None)
        #: Whether POLAR_TOKEN is set and something else is sent, which surprises whoever set it.
        self.sends_other_token = not token and self._token != (_token_for(None) or self._token)
        self._is_recognised = self._own is None
        self.url = self._own.url if self._own else http_url(str(url)).rstrip("/")
        self._pauses_s = PAUSES_S if pauses_s is None else pauses_s
        try:
            self._http = httpx.Client(
                base_url=f"{self.url}/api/v1",
                timeout=TIMEOUT_S,
                **reach(self.url),
            )
        except httpx.InvalidURL as error:
            raise Unreachable(f"{self.url} is not the address of a service: {error}") from error
        except (ValueError, ImportError, OSError) as error:
            raise Unreachable(
                f"{self.url} cannot be reached with the proxies and certificates that the "
                f"environment names (HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE, ...): {error}"
            ) from error

    def close(self) -> None:
        self._http.close()

    def ask(self, answer: type[V], method: str, path: str, **request: Any) -> V:  # noqa: ANN401
        return self._read(answer, self._response(method, path, **request))

    def content(self, path: str) -> bytes:
        """Fetch the content at this path as it is."""
        return self.answer(path).content

    def answer(self, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401
        """Fetch the answer at this path as it is, with its headers."""
        response = self._response("GET", path, **request)
        if not response.is_success:
            self._read(ResponseModel, response)
        return response

    def _response(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401
        if path != _HEALTH:
            self._recognise()
        if method == "POST":
            key = {"Idempotency-Key": uuid4().hex}
            request["headers"] = {**key, **request.get("headers", {})}
        pauses = iter(self._pauses_s)
        while True:
            self._refuse_if_closed()
            try:
                self._see_that_our_stack_is_there()
                return self._http.request(method, path, **request)
            except (httpx.LocalProtocolError, UnicodeEncodeError) as error:
                raise ClientError(f"this request cannot be sent: {error}") from error
            except httpx.TransportError as error:
                self._pause(pauses, error)

    def _recognise(self) -> None:
        """Check before the first request that no other stack answers, as through a tunnel.

        This keeps no stranger from anything, because everybody can read the id of a home.
        """
        if self._own and not self._is_recognised:
            if self.ask(Health, "GET", _HEALTH).home_id != self._own.home_id:
                raise Unreachable(
                    f"the stack that answers at {self.url} is not that of {self._home}"
                )
            self._is_recognised = True
        if self._token:
            self._http.headers["Authorization"] = f"Bearer {self._token}"

    def _see_that_our_stack_is_there(self) -> None:
        """Check that whoever holds our home listens at the address that gets the token.

        Once the stack has stopped, any user of the machine may listen there.

        Raises:
            httpx.ConnectError: the stack does not run, or listens elsewhere by now.
        """
        if self._own and find_api(self._home) != self._own:
            raise httpx.ConnectError(
                f"the stack of {resolved_home(self._home)} does not run there"
            )

    def events(self, path: str) -> Iterator[RunEvent]:
        """The events of runs, whose stream is taken up again wherever it breaks."""
        pauses = iter(self._pauses_s)
        last: dict[str, str] = {}
        while True:
            try:
                for message in self.messages(path, last):
                    yield RUN_EVENT.validate_json(message["data"])
                    last = {"Last-Event-ID": message["id"]} if "id" in message else last
                    pauses = iter(self._pauses_s)
                return
            except httpx.TransportError as error:
                self._pause(pauses, error)

    def messages(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, str]]:
        """The fields of the server-sent events of one stream.

        Raises:
            httpx.TransportError: nothing answers, or the stream has broken.
        """
        self._refuse_if_closed()
        self._see_that_our_stack_is_there()
        with self._http.stream("GET", path, headers=headers, timeout=STREAM_S) as response:
            if not response.is_success:
                response.read()
                self._read(ResponseModel, response)
            yield from _messages(response.iter_lines())

    def _refuse_if_closed(self) -> None:
        if self._http.is_closed:
            raise ClientError("this client is closed")

    def _pause(self, pauses: Iterator[float], error: httpx.TransportError) -> None:
        pause = next(pauses, None)
        if pause is None:
            if self._own and (change := what_changes(self._home)):
                raise StackChanges(change) from error
            tries = len(self._pauses_s) + 1
            raise Unreachable(
                f"no service answers at {self.url} ({tries} tries, the last: {error})"
            ) from error
        time.sleep(pause)

    def _read(self, answer: type[V], response: httpx.Response) -> V:
        try:
            if response.is_success:
                return answer.model_validate_json(response.content)
            problem = Problem.model_validate_json(response.content)
        except ValidationError as error:
            status = f"{response.status_code} {response.reason_phrase}"
            raise Unreachable(
                f"what answers at {self.url} is not this version of the service: {status}"
            ) from error
        raise Refused(problem)


def _token_for(own_home: Path | None) -> str | None:
    """The token for the stack of a home of ours, or, without a home, for another service."""
    of_environment = os.environ.get("POLAR_TOKEN", "").strip() or None
    return (token_of(own_home) if own_home else None) or of_environment


def _own_api(home: Path, url: str) -> PublishedApi | None:
    """The API of the stack that runs in the home, if this is its address."""
    if os.environ.get("POLAR_TOKEN", "").strip():  # meant for the service that is named
        return None
    try:
        api = find_api(home)
    except InvalidInput:  # this user has no such home
        return None
    is_it = api and api.url == url.rstrip("/").replace("localhost", "127.0.0.1")
    return api if is_it else None


def _api_of(home: Path) -> PublishedApi:
    api = find_api(home)
    if api is None and (change := what_changes(home)):
        raise StackChanges(change)
    if api is None:
        raise Unreachable(f"no stack runs in {resolved_home(home)}")
    return api


def _messages(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """The fields of each server-sent event."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            if "data" in fields:  # comments, which keep the connection alive, have no data
                yield fields
            fields = {}
