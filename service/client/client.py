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

from service.addresses import http_url, reach
from service.api.experiments.schemas import ExperimentPage, ExperimentSummary, ExperimentView, Plan
from service.api.health.schemas import Health
from service.api.runs.events import RUN_EVENT, RunEvent
from service.api.runs.schemas import Diagnostics, RunView
from service.api.schemas import Problem, ResponseModel
from service.api.studies.schemas import (
    StudyPage,
    StudyPlan,
    StudySummary,
    StudyView,
    TrialPage,
    TrialView,
)
from service.homes import PublishedApi, find_api, home_of_environment, resolved_home

#: Seconds before the second, third, ... try of a request that nobody answered.
PAUSES_S = (0.2, 0.5, 1.0, 2.0)
#: Seconds to wait for an answer; a stream says something every 15 s.
TIMEOUT_S = 60.0

_HEALTH = "/healthz"
_IS_JSON = {"Content-Type": "application/json"}

#: What a study can be told to do, besides to take more trials.
Order = Literal["pause", "resume", "cancel", "retry-failed"]

#: Nobody was there when the request came.
_UNHEARD = (httpx.ConnectError, httpx.ConnectTimeout)

V = TypeVar("V", bound=ResponseModel)
P = TypeVar("P", ExperimentPage, StudyPage, TrialPage)
K = TypeVar("K", ExperimentView, RunView, StudyView)

_RESOURCES = {ExperimentView: "experiments", RunView: "runs", StudyView: "studies"}


class ClientError(Exception):
    """Root of what can go wrong between client and service."""


class Unreachable(ClientError):
    """Nothing at this address answers as the service would."""


class Refused(ClientError):
    """The service refused the request; `problem` says why, fault by fault."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class OtherKind(ClientError):
    """The id is not that of an experiment or run, but of a study, or the other way round."""

    def __init__(self, id: UUID, kind: str) -> None:
        super().__init__(f"{id} is {kind}")
        self.id = id


class Client:
    """Speaks with one service. Requests are repeated when nobody answers.

    Those that would not be safe to repeat are so only as long as nobody was there to hear them.

    Raises (all methods):
        Unreachable: nobody answers, or not as the service would, or another home's stack does.
        Refused: the service refuses the request.
        ClientError: an id is none.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        home: Path | None = None,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        """For the service at the URL or at POLAR_URL, or else for the stack of a home.

        Without `home` that is the home at POLAR_HOME, or else `~/.polar`. Nobody else's stack is
        taken for it; a URL may be anybody's.

        Raises:
            InvalidInput: the URL is none, or there is no such home, or it cannot be read.
            Unreachable: no stack runs in it.
        """
        url = url or ("" if home else os.environ.get("POLAR_URL"))
        self._home = home or home_of_environment()
        self._expected = None if url else _api_of(self._home)
        if self._expected:
            url = self._expected.url
        self.url = http_url(str(url)).rstrip("/")
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
        return self._ask(ExperimentView, "GET", f"/experiments/{_id(experiment_id)}")

    def run(self, run_id: UUID | str) -> RunView:
        return self._ask(RunView, "GET", f"/runs/{_id(run_id)}")

    def diagnostics(self, run_id: UUID | str) -> Diagnostics:
        """Everything that was measured of a run so far."""
        return self._ask(Diagnostics, "GET", f"/runs/{_id(run_id)}/diagnostics")

    def find(self, id: UUID | str) -> ExperimentView | RunView:
        """The experiment or the run that has this id."""
        id = _id(id)
        if found := self._look_up(ExperimentView, id) or self._look_up(RunView, id):
            return found
        if self._look_up(StudyView, id):
            raise OtherKind(id, "a study, neither an experiment nor a run")
        raise ClientError(f"there is neither an experiment nor a run {id} at {self.url}")

    def _look_up(self, kind: type[K], id: UUID) -> K | None:
        try:
            return self._ask(kind, "GET", f"/{_RESOURCES[kind]}/{id}")
        except Refused as refused:
            if refused.problem.status != 404:
                raise
            return None

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
        return self._ask_study(study_id, "GET")

    def trials(self, study_id: UUID | str) -> Iterator[TrialView]:
        """All trials of a study, by number, fetched as they are asked for."""
        for page in self._pages(TrialPage, f"/studies/{_id(study_id)}/trials"):
            yield from page.trials

    def export_trials(self, study_id: UUID | str, kind: str) -> bytes:
        """All trials of a study in one file, `csv` or `parquet`."""
        found = self.study(study_id)  # it says so where the id belongs to something else
        response = self._response("GET", f"/studies/{found.id}/trials.{kind}")
        if not response.is_success:
            self._read(ResponseModel, response)
        return response.content

    def order_study(self, study_id: UUID | str, order: Order) -> StudyView:
        """Pause, resume or cancel a study, or let it try its failed trials again."""
        is_repeatable = order != "retry-failed"
        return self._ask_study(study_id, "POST", f"/{order}", is_repeatable=is_repeatable)

    def extend_study(
        self, study_id: UUID | str, trials: int | None = None, seeds: Sequence[int] = ()
    ) -> StudyView:
        """So many more completed trials, and these seeds besides for every trial."""
        extension = {} if trials is None else {"trials": trials}
        return self._ask_study(
            study_id,
            "POST",
            "/extend",
            is_repeatable=False,
            content=_json({**extension, "seeds": list(seeds)}),
            headers=_IS_JSON,
        )

    def _ask_study(
        self,
        study_id: UUID | str,
        method: str,
        below: str = "",
        **request: Any,  # noqa: ANN401
    ) -> StudyView:
        id = _id(study_id)
        try:
            return self._ask(StudyView, method, f"/studies/{id}{below}", **request)
        except Refused as refused:
            if refused.problem.status != 404:
                raise
            if self._look_up(ExperimentView, id):
                raise OtherKind(id, "an experiment, no study") from None
            if self._look_up(RunView, id):
                raise OtherKind(id, "a run, no study") from None
            raise

    def _pages(self, page: type[P], path: str) -> Iterator[P]:
        token: str | None = None
        while True:
            found = self._ask(page, "GET", path, params={"page_token": token} if token else {})
            yield found
            if (token := found.next_page_token) is None:
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
        if path != _HEALTH:
            self._recognise()
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

    def _recognise(self) -> None:
        """Once, before the first request: whether it is the home's own stack that answers."""
        expected = self._expected
        if expected and self._ask(Health, "GET", _HEALTH).home_id != expected.home_id:
            raise Unreachable(
                f"what answers at {self.url} is another stack than that of {self._home}"
            )
        self._expected = None

    def _events(self, path: str) -> Iterator[RunEvent]:
        pauses = iter(self._pauses_s)
        last: dict[str, str] = {}
        while True:
            try:
                with self._http.stream("GET", path, headers=last) as response:
                    if not response.is_success:
                        response.read()
                        self._read(ResponseModel, response)
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


def _api_of(home: Path) -> PublishedApi:
    api = find_api(home)
    if api is None:
        raise Unreachable(f"no stack runs in {resolved_home(home)}")
    return api


def _id(id: UUID | str) -> UUID:
    try:
        return id if isinstance(id, UUID) else UUID(id.strip())
    except ValueError:
        raise ClientError(
            f"{id!r} is no id; an id is 36 characters, such as "
            "5a0f6f0e-3b1c-4d52-9f5e-2c7d8a4b9e61: see `polar list` and `polar study list`"
        ) from None


def _path(found: ExperimentView | RunView) -> str:
    return f"/{_RESOURCES[type(found)]}/{found.id}"


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
