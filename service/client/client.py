"""A small client of the API, typed by the very models that the API answers with."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar
from uuid import UUID, uuid4

from service.api.experiments.schemas import ExperimentPage, ExperimentSummary, ExperimentView, Plan
from service.api.run_events import RunEvent
from service.api.runs.schemas import Diagnostics, RunView
from service.api.studies.schemas import (
    StudyPage,
    StudyPlan,
    StudySummary,
    StudyView,
    TrialPage,
    TrialView,
)
from service.client.connection import Connection
from service.client.errors import ClientError, OtherKind, Refused

_IS_JSON = {"Content-Type": "application/json"}

#: What a study can be told to do, besides to take more trials.
Order = Literal["pause", "resume", "cancel", "retry-failed"]

P = TypeVar("P", ExperimentPage, StudyPage, TrialPage)
K = TypeVar("K", ExperimentView, RunView, StudyView)

_RESOURCES = {ExperimentView: "experiments", RunView: "runs", StudyView: "studies"}


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
        pauses_s: Sequence[float] | None = None,
    ) -> None:
        """For the service at the URL or at POLAR_URL, or else for the stack of a home.

        Without `home` that is the home at POLAR_HOME, or else `~/.polar`. Nobody else's stack is
        taken for it; a URL may be anybody's.

        Args:
            url: Address of the service.
            home: Folder of the stack.
            pauses_s: Seconds before the second, third, ... try of a request that nobody answered;
                by default `service.client.connection.PAUSES_S`.

        Raises:
            InvalidInput: the URL is none, or there is no such home, or it cannot be read.
            Unreachable: no stack runs in it.
        """
        self._connection = Connection(url, home, pauses_s)
        self.url = self._connection.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def submit(
        self, spec: Mapping[str, Any], *, force: bool = False, key: str | None = None
    ) -> ExperimentView:
        """Submit an experiment, once for each idempotency key; by default the key is a new one."""
        return self._connection.ask(
            ExperimentView,
            "POST",
            "/experiments",
            params={"force": force},
            content=_json(spec),
            headers={**_IS_JSON, "Idempotency-Key": key or uuid4().hex},
        )

    def validate(self, spec: Mapping[str, Any]) -> Plan:
        """What the experiment would be, complete with defaults; nothing is stored."""
        return self._connection.ask(
            Plan, "POST", "/experiments/validate", content=_json(spec), headers=_IS_JSON
        )

    def experiments(self) -> Iterator[ExperimentSummary]:
        """All experiments, newest first, fetched as they are asked for."""
        for page in self._pages(ExperimentPage, "/experiments"):
            yield from page.experiments

    def experiment(self, experiment_id: UUID | str) -> ExperimentView:
        return self._connection.ask(ExperimentView, "GET", f"/experiments/{_id(experiment_id)}")

    def run(self, run_id: UUID | str) -> RunView:
        return self._connection.ask(RunView, "GET", f"/runs/{_id(run_id)}")

    def diagnostics(self, run_id: UUID | str) -> Diagnostics:
        """Everything that was measured of a run so far."""
        return self._connection.ask(Diagnostics, "GET", f"/runs/{_id(run_id)}/diagnostics")

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
            return self._connection.ask(kind, "GET", f"/{_RESOURCES[kind]}/{id}")
        except Refused as refused:
            if refused.problem.status != 404:
                raise
            return None

    def cancel(self, id: UUID | str) -> ExperimentView | RunView:
        """Cancel a run, or an experiment with those of its runs that no other one wants."""
        found = self.find(id)
        return self._connection.ask(type(found), "POST", f"{_path(found)}/cancel")

    def watch(self, id: UUID | str) -> Iterator[RunEvent]:
        """Where a run, or each run of an experiment, stands; then every change, to the end.

        The last event of each run is its final state.
        """
        return self._connection.events(f"{_path(self.find(id))}/events")

    def create_study(self, spec: Mapping[str, Any], *, key: str | None = None) -> StudyView:
        """Submit a study, once for each idempotency key; by default the key is a new one."""
        return self._connection.ask(
            StudyView,
            "POST",
            "/studies",
            content=_json(spec),
            headers={**_IS_JSON, "Idempotency-Key": key or uuid4().hex},
        )

    def validate_study(self, spec: Mapping[str, Any]) -> StudyPlan:
        """What the study would be, and how long it would take; nothing is stored."""
        return self._connection.ask(
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
        return self._connection.content(f"/studies/{found.id}/trials.{kind}")

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
            return self._connection.ask(StudyView, method, f"/studies/{id}{below}", **request)
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
            params = {"page_token": token} if token else {}
            found = self._connection.ask(page, "GET", path, params=params)
            yield found
            if (token := found.next_page_token) is None:
                return


def _id(id: UUID | str) -> UUID:
    try:
        return id if isinstance(id, UUID) else UUID(id.strip())
    except ValueError:
        raise ClientError(
            f"{id!r} is no id; allowed: 36 characters, such as "
            "5a0f6f0e-3b1c-4d52-9f5e-2c7d8a4b9e61; see `polar list` and `polar study list`"
        ) from None


def _path(found: ExperimentView | RunView) -> str:
    return f"/{_RESOURCES[type(found)]}/{found.id}"


def _json(spec: Mapping[str, Any]) -> str:
    """The spec, for the service to judge; YAML also knows dates and NaN, which it will refuse."""
    try:
        return json.dumps(spec, default=str)
    except (TypeError, ValueError) as error:
        raise ClientError(f"the spec cannot be said in JSON: {error}") from error
