"""A small client of the API, typed by the very models that the API answers with."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar
from uuid import UUID, uuid4

import httpx
from pydantic import ValidationError

from service.addresses import reach
from service.api.views import (
    RUN_EVENT,
    Diagnostics,
    ExperimentPage,
    ExperimentSummary,
    ExperimentView,
    Plan,
    Problem,
    RunEvent,
    RunView,
    StudyPage,
    StudyPlan,
    StudySummary,
    StudyView,
    TrialPage,
    TrialView,
    View,
)
from service.homes import DEFAULT_HOME, resolved_home

DEFAULT_URL = "http://127.0.0.1:8650"
#: Seconds before the second, third, ... try of a request that nobody answered.
PAUSES_S = (0.2, 0.5, 1.0, 2.0)
#: Seconds to wait for an answer; a stream says something every 15 s.
TIMEOUT_S = 60.0

_IS_JSON = {"Content-Type": "application/json"}

#: What a study can be told to do, besides to take more trials.
Order = Literal["pause", "resume", "cancel", "retry-failed"]

#: Nobody was there when the request came.
_UNHEARD = (httpx.ConnectError, httpx.ConnectTimeout)

V = TypeVar("V", bound=View)
P = TypeVar("P", ExperimentPage, StudyPage, TrialPage)


class ClientError(Exception):
    """Root of what can go wrong between client and service."""


class Unreachable(ClientError):
    """Nothing at this address answers as the service would."""


class Refused(ClientError):
    """The service refused the request; `problem` says why, fault by fault."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def url_of_environment(environment: Mapping[str, str] = os.environ) -> str:
    """Where the service is: POLAR_URL, or what `polar up` wrote down, or the default."""
    if environment.get("POLAR_URL"):
        return environment["POLAR_URL"]
    home = resolved_home(Path(environment.get("POLAR_HOME") or DEFAULT_HOME))
    try:
        return str(json.loads((home / "up.json").read_bytes())["api"])
    except (OSError, ValueError, KeyError, TypeError):
        return DEFAULT_URL


class Client:
    """Speaks with one service. Requests are repeated when nobody answers.

    Those that would not be safe to repeat are so only as long as nobody was there to hear them.

    Raises (all methods):
        Unreachable: nobody answers, or not as the service would.
        Refused: the service refuses the request.
    """

    def __init__(self, url: str | None = None, *, pauses_s: Sequence[float] = PAUSES_S) -> None:
        self.url = (url or url_of_environment()).rstrip("/")
        self._pauses_s = pauses_s
        try:
            self._http = httpx.Client(
                base_url=f"{self.url}/api/v1", timeout=TIMEOUT_S, **reach(self.url)
            )
        except httpx.InvalidURL as error:
            raise Unreachable(f"{self.url} is not the address of a service: {error}") from error
        except (ValueError, ImportError, OSError) as error:
            raise Unreachable(
                f"{self.url} cannot be reached with the proxies and certificates that the "
                f"environment names (HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE, ...): {error}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(
        self, spec: Mapping[str, Any], *, force: bool = False, key: str | None = None
    ) -> ExperimentView:
        """Submit an experiment, once for each idempotency key; by default the key is a new one."""
        return self._ask(
            ExperimentView,
            "POST",
            "/experiments",
            params={"force": force},
            content=_json(spec),
            headers={**_IS_JSON, "Idempotency-Key": key or uuid4().hex},
        )

    def validate(self, spec: Mapping[str, Any]) -> Plan:
        """What the experiment would be, complete with defaults; nothing is stored."""
        return self._ask(
            Plan, "POST", "/experiments/validate", content=_json(spec), headers=_IS_JSON
        )

    def experiments(self) -> Iterator[ExperimentSummary]:
        """All experiments, newest first, fetched as they are asked for."""
        for page in self._pages(ExperimentPage, "/experiments"):
            yield from page.experiments

    def experiment(self, experiment_id: UUID | str) -> ExperimentView:
        return self._ask(ExperimentView, "GET", f"/experiments/{experiment_id}")

    def run(self, run_id: UUID | str) -> RunView:
        return self._ask(RunView, "GET", f"/runs/{run_id}")

    def diagnostics(self, run_id: UUID | str) -> Diagnostics:
        """Everything that was measured of a run so far."""
        return self._ask(Diagnostics, "GET", f"/runs/{run_id}/diagnostics")

    def find(self, id: UUID | str) -> ExperimentView | RunView:
        """The experiment or the run that has this id."""
        try:
            return self.experiment(id)
        except Refused as refused:
            if refused.problem.status != 404:
                raise
        try:
            return self.run(id)
        except Refused as refused:
            if refused.problem.status != 404:
                raise
        raise ClientError(f"there is neither an experiment nor a run {id} at {self.url}")

    def cancel(self, id: UUID | str) -> ExperimentView | RunView:
        """Cancel a run, or an experiment with those of its runs that no other one wants."""
        found = self.find(id)
        return self._ask(type(found), "POST", f"{_path(found)}/cancel")

    def watch(self, id: UUID | str) -> Iterator[RunEvent]:
        """Where a run, or each run of an experiment, stands; then every change, to the end.

        The last event of each run is its final state.
        """
        return self._events(f"{_path(self.find(id))}/events")

    def create_study(self, spec: Mapping[str, Any], *, key: str | None = None) -> StudyView:
        """Submit a study, once for each idempotency key; by default the key is a new one."""
        return self._ask(
            StudyView,
            "POST",
            "/studies",
            content=_json(spec),
            headers={**_IS_JSON, "Idempotency-Key": key or uuid4().hex},
        )

    def validate_study(self, spec: Mapping[str, Any]) -> StudyPlan:
        """What the study would be, and how long it would take; nothing is stored."""
        return self._ask(
            StudyPlan, "POST", "/studies/validate", content=_json(spec), headers=_IS_JSON
        )

    def studies(self) -> Iterator[StudySummary]:
        """All studies, newest first, fetched as they are asked for."""
        for page in self._pages(StudyPage, "/studies"):
            yield from page.studies

    def study(self, study_id: UUID | str) -> StudyView:
        return self._ask(StudyView, "GET", f"/studies/{study_id}")

    def trials(self, study_id: UUID | str) -> Iterator[TrialView]:
        """All trials of a study, by number, fetched as they are asked for."""
        for page in self._pages(TrialPage, f"/studies/{study_id}/trials"):
            yield from page.trials

    def export_trials(self, study_id: UUID | str, kind: str) -> bytes:
        """All trials of a study in one file, `csv` or `parquet`."""
        response = self._response("GET", f"/studies/{study_id}/trials.{kind}")
        if not response.is_success:
            self._read(View, response)
        return response.content

    def order_study(self, study_id: UUID | str, order: Order) -> StudyView:
        """Pause, resume or cancel a study, or let it try its failed trials again."""
        is_repeatable = order != "retry-failed"
        return self._ask(
            StudyView, "POST", f"/studies/{study_id}/{order}", is_repeatable=is_repeatable
        )

    def extend_study(
        self, study_id: UUID | str, trials: int | None = None, seeds: Sequence[int] = ()
    ) -> StudyView:
        """So many more completed trials, and these seeds besides for every trial."""
        extension = {} if trials is None else {"trials": trials}
        return self._ask(
            StudyView,
            "POST",
            f"/studies/{study_id}/extend",
            is_repeatable=False,
            content=_json({**extension, "seeds": list(seeds)}),
            headers=_IS_JSON,
        )

    def _pages(self, page: type[P], path: str) -> Iterator[P]:
        token: str | None = None
        while True:
            found = self._ask(page, "GET", path, params={"page_token": token} if token else {})
            yield found
            token = found.next_page_token
            if token is None:
                return

    def _ask(
        self,
        answer: type[V],
        method: str,
        path: str,
        *,
        is_repeatable: bool = True,
        **request: Any,  # noqa: ANN401
    ) -> V:
        response = self._response(method, path, is_repeatable=is_repeatable, **request)
        return self._read(answer, response)

    def _response(
        self,
        method: str,
        path: str,
        *,
        is_repeatable: bool = True,
        **request: Any,  # noqa: ANN401
    ) -> httpx.Response:
        pauses = iter(self._pauses_s)
        while True:
            try:
                return self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if not is_repeatable and not isinstance(error, _UNHEARD):
                    raise Unreachable(
                        f"{self.url} was asked and gave no answer ({error}): look whether it did "
                        "what it was asked for, before you ask again"
                    ) from error
                self._pause(pauses, error)

    def _events(self, path: str) -> Iterator[RunEvent]:
        pauses = iter(self._pauses_s)
        last: dict[str, str] = {}
        while True:
            try:
                with self._http.stream("GET", path, headers=last) as response:
                    if not response.is_success:
                        response.read()
                        self._read(View, response)
                    for message in _messages(response.iter_lines()):
                        yield RUN_EVENT.validate_json(message["data"])
                        last = {"Last-Event-ID": message["id"]} if "id" in message else last
                        pauses = iter(self._pauses_s)
                    return
            except httpx.TransportError as error:
                self._pause(pauses, error)

    def _pause(self, pauses: Iterator[float], error: httpx.TransportError) -> None:
        pause = next(pauses, None)
        if pause is None:
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


def _path(found: ExperimentView | RunView) -> str:
    return f"/{'experiments' if isinstance(found, ExperimentView) else 'runs'}/{found.id}"


def _json(spec: Mapping[str, Any]) -> str:
    """The spec, for the service to judge; YAML also knows dates and NaN, which it will refuse."""
    try:
        return json.dumps(spec, default=str)
    except (TypeError, ValueError) as error:
        raise ClientError(f"the spec cannot be said in JSON: {error}") from error


def _messages(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """The fields of each server-sent event."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            if "data" in fields:  # a comment that keeps the connection alive has none
                yield fields
            fields = {}
