"""A small client of the API, whose answers have the API's own types."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Unpack
from uuid import UUID, uuid4

from service.api.catalogue.schemas import DatasetView
from service.api.experiments.schemas import ExperimentPage, ExperimentSummary, Plan
from service.api.run_events import RunEvent
from service.api.runs.schemas import FindingsView, RunPage, RunSummary
from service.api.schemas import DeletionView
from service.api.studies.schemas import StudySummary
from service.client.answers import Answer, Experiment, Run, Study
from service.client.errors import ClientError, OtherKind
from service.client.requests import (
    IS_JSON,
    Filters,
    Spec,
    as_json,
    id_of,
    parameters_of,
    path_of,
    said_of,
)
from service.client.results import RequestsOfResults
from service.client.studies import RequestsOfStudies
from service.client.tokens import RequestsOfTokens
from service.ids import LEAST_TO_DELETE, allowed, digits_of, is_whole

#: What ids and names can belong to.
_KINDS: tuple[type[Answer], ...] = (Experiment, Run, Study)
Summary = ExperimentSummary | RunSummary | StudySummary
#: Most ids that are named to whoever wrote a name that several have.
MOST_NAMED = 10


class Client(RequestsOfResults, RequestsOfStudies, RequestsOfTokens):
    """Sends requests to one service, and repeats them while nobody answers.

    Every POST has an idempotency key, so that it is carried out once however often it is sent, but
    for those about tokens and login links, whose answers are secrets and are not stored, and for
    `validate`, which stores nothing.

    Raises (all methods):
        Unreachable: nothing answers, or something else than the service, or another home's stack.
        Refused: the service refuses the request.
        ClientError: an id is not of the form of ids.
    """

    def submit(
        self,
        spec: Spec,
        *,
        force: bool = False,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        note: str = "",
    ) -> Experiment:
        """Submit an experiment, once for each idempotency key.

        Args:
            spec: The spec, which may have `tags` and a `note` itself.
            force: Whether to train all runs anew and share none.
            key: Idempotency key; by default a new one.
            tags: Tags of the experiment, besides those in the spec.
            note: Text in Markdown, instead of the spec's.
        """
        said = {"tags": tags, "note": note}
        return self._submit(Experiment, "/experiments", spec, key, said, force=force)

    def validate(self, spec: Spec) -> Plan:
        """Fetch what the experiment would be, complete with defaults; nothing is stored."""
        return self._connection.ask(
            Plan, "POST", "/experiments/validate", content=as_json(spec), headers=IS_JSON
        )

    def experiments(self, **filters: Unpack[Filters]) -> Iterator[ExperimentSummary]:
        """Iterate over all experiments with these filters, newest first, fetched page by page."""
        for page in self._pages(ExperimentPage, "/experiments", **parameters_of(filters)):
            yield from page.experiments

    def runs(self, **filters: Unpack[Filters]) -> Iterator[RunSummary]:
        """Iterate over all runs with these filters, newest first, fetched page by page."""
        for page in self._pages(RunPage, "/runs", **parameters_of(filters)):
            yield from page.runs

    def experiment(self, experiment_id: UUID | str) -> Experiment:
        return self._ask(Experiment, "GET", f"/experiments/{id_of(experiment_id)}")

    def run(self, run_id: UUID | str) -> Run:
        return self._ask(Run, "GET", f"/runs/{id_of(run_id)}")

    def ask_for_findings(self, run_id: UUID | str) -> Run:
        """Have the findings of a run made before others; those that failed are tried again."""
        self._connection.ask(FindingsView, "POST", f"/runs/{id_of(run_id)}/findings")
        return self.run(run_id)

    def datasets(self) -> list[DatasetView]:
        """Fetch the datasets that a spec can name, and the agents that have them."""
        offers = json.loads(self._connection.content("/datasets"))
        return [DatasetView.model_validate(offer) for offer in offers]

    def meant(self, written: UUID | str, *kinds: type[Answer]) -> str:
        """The id of what somebody means by an id, by how one begins, or by a name.

        Args:
            written: What they wrote; a whole id is not looked up.
            kinds: What they may mean; other kinds are looked at only if none of these is meant.

        Raises:
            ClientError: nothing of any kind is meant, or several are.
        """
        with suppress(ClientError):
            if is_whole(id_of(written)):
                return id_of(written)
        others = [kind for kind in _KINDS if kind not in kinds]
        for among in (kinds, others):
            if found := digits_of(str(written)) and self._first(id_of(written), *among):
                return str(found.id)
        for among in (kinds, others):
            named = [(kind, each) for kind in among for each in self._named(kind, str(written))]
            if len(named) > 1:
                said = [
                    said_of(each.id, f"{kind.__name__.lower()}: {each.state}", each.created_at)
                    for kind, each in named[:MOST_NAMED]
                ]
                said += ["..."] * (len(named) > MOST_NAMED)
                message = f"{written!r} is the name of several; say the id of what you mean:"
                raise ClientError("\n  ".join([message, *said]))
            if named:
                return str(named[0][1].id)
        raise ClientError(
            f"nothing is named {written!r}, and no id begins so; allowed: a name, or {allowed()}; "
            "see `polar list` and `polar study list`"
        )

    def _named(self, kind: type[Answer], name: str) -> list[Summary]:
        """The newest of those of this kind that have this name, more than are named anywhere."""
        words = name.strip()
        if not words:
            return []
        listed: Iterator[Summary]
        if kind is Experiment:
            listed = self.experiments(own_name=words)
        else:
            listed = self.runs(own_name=words) if kind is Run else self.studies(own_name=words)
        return list(islice(listed, MOST_NAMED + 1))

    def find(self, id: UUID | str) -> Experiment | Run:
        """Fetch the experiment or the run with this id, or whose id alone begins so."""
        id = id_of(id)
        if isinstance(view := self._first(id, Experiment, Run), Experiment | Run):
            return view
        if self._look_up(Study, id):
            raise OtherKind(id, "a study, neither an experiment nor a run")
        raise ClientError(f"there is neither an experiment nor a run {id} at {self.url}")

    def find_any(self, id: UUID | str) -> Experiment | Run | Study:
        """Fetch the experiment, the run or the study with this id, or whose id alone begins so."""
        id = id_of(id)
        if isinstance(view := self._first(id, *_KINDS), Experiment | Run | Study):
            return view
        raise ClientError(f"there is no experiment, no run and no study {id} at {self.url}")

    def cancel(self, id: UUID | str) -> Experiment | Run:
        """Cancel a run, or an experiment and those of its runs that no other experiment wants."""
        view = self.find(id)
        return self._ask(type(view), "POST", f"{path_of(view)}/cancel")

    def delete(self, id: UUID | str | Answer) -> DeletionView:
        """Delete an experiment, a run or a study for good, with the runs that nobody else has.

        What is deleted must have ended, or have been cancelled before. Of an id, at least 8 digits
        are wanted.
        """
        if len(id_of(id).replace("-", "")) < LEAST_TO_DELETE:
            raise ClientError(
                f"{id} is too short for what is to be deleted; allowed: {allowed(LEAST_TO_DELETE)}"
            )
        found = id if isinstance(id, Answer) else self.find_any(id)
        return self._connection.ask(DeletionView, "DELETE", path_of(found))

    def describe(
        self,
        id: UUID | str | Answer,
        *,
        name: str | None = None,
        tags: Mapping[str, str | None] | None = None,
        note: str | None = None,
    ) -> Experiment | Run | Study:
        """Name, tag or annotate an experiment, a run or a study; what is None stays as it is.

        Args:
            id: Its id, or itself.
            name: A new name.
            tags: Tags to set, and with None tags to remove; others stay.
            note: A new note, in Markdown.
        """
        found = id if isinstance(id, Experiment | Run | Study) else self.find_any(id_of(id))
        changes = {"name": name, "tags": tags, "note": note}
        content = as_json({key: each for key, each in changes.items() if each is not None})
        return self._ask(type(found), "PATCH", path_of(found), content=content, headers=IS_JSON)

    def extend(self, id: UUID | str, steps: int, *, key: str | None = None) -> Experiment | Study:
        """Let finished trainings go on to more steps: in a new experiment, or those of a study.

        Args:
            id: Id of a run that has succeeded, of an experiment whose runs have, or of a study.
            steps: Number of steps at the end, those of before included.
            key: Idempotency key of the new experiment; by default a new one.
        """
        try:
            finished = self.find(id)
        except OtherKind:
            return self.extend_study(id, training_steps=steps)
        return self._ask(
            Experiment,
            "POST",
            f"{path_of(finished)}/extend",
            content=as_json({"steps": steps}),
            headers={**IS_JSON, "Idempotency-Key": key or uuid4().hex},
        )

    def rerun(self, run_id: UUID | str, *, key: str | None = None) -> Experiment:
        """Try a run again that has failed or was cancelled, in a new experiment.

        Args:
            run_id: Id of the run, which a tag of the experiment names.
            key: Idempotency key of the new experiment; by default a new one.
        """
        headers = {"Idempotency-Key": key or uuid4().hex}
        return self._ask(Experiment, "POST", f"/runs/{id_of(run_id)}/rerun", headers=headers)

    def watch(self, id: UUID | str) -> Iterator[RunEvent]:
        """Iterate over the events of a run, or of an experiment's runs, until they have ended.

        The first event of each run is its present state, and the last its final state.
        """
        return self._connection.events(f"{path_of(self.find(id))}/events")
