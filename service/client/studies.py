"""Requests about studies."""

import time
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast
from urllib.parse import quote
from uuid import UUID

import httpx
from pydantic import ValidationError

from polar.records.phases import StudyFigure
from polar.records.pictures import PictureKind
from service.api.studies.schemas import (
    Front,
    StudyModels,
    StudyPage,
    StudyPlan,
    StudySummary,
    TrialPage,
    TrialView,
)
from service.client.answers import Experiment, Run, Study
from service.client.errors import ClientError, OtherKind, Refused, Unreachable
from service.client.picture import Picture
from service.client.requests import (
    IS_JSON,
    Filters,
    Requests,
    Spec,
    as_json,
    begins_so,
    id_of,
    parameters_of,
    path_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from service.client.client import Client

#: Seconds between two requests for a study whose stream of events does not come.
POLL_S = 1.0
#: What a study can be ordered to do, besides extending it.
Order = Literal["pause", "resume", "cancel", "retry-failed"]


class RequestsOfStudies(Requests):
    """The part of `Client` about studies."""

    def create_study(
        self,
        spec: Spec,
        *,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        note: str = "",
    ) -> Study:
        """Submit a study, once for each idempotency key.

        Args:
            spec: The spec, which may have `tags` and a `note` itself.
            key: Idempotency key; by default a new one.
            tags: Tags of the study, besides those in the spec.
            note: Text in Markdown, instead of the spec's.
        """
        return self._submit(Study, "/studies", spec, key, {"tags": tags, "note": note})

    def validate_study(self, spec: Spec) -> StudyPlan:
        """Fetch what the study would be, and how long it would take; nothing is stored."""
        return self._connection.ask(
            StudyPlan, "POST", "/studies/validate", content=as_json(spec), headers=IS_JSON
        )

    def studies(self, **filters: Unpack[Filters]) -> Iterator[StudySummary]:
        """Iterate over all studies with these filters, newest first, fetched page by page."""
        for page in self._pages(StudyPage, "/studies", **parameters_of(filters)):
            yield from page.studies

    def study(self, study_id: UUID | str) -> Study:
        study = self._ask_study(study_id, "GET")
        if not begins_so(study, id_of(study_id)):
            raise ClientError(f"there is no study {id_of(study_id)} at {self.url}")
        return study

    def watch_studies(self, *study_ids: UUID | str) -> Iterator[list[Study]]:
        """Iterate over these studies, all anew whenever one has changed, until all have ended."""
        changed: SimpleQueue[tuple[int, Study] | Exception] = SimpleQueue()

        def follow(place: int, study: Study) -> None:
            try:
                for each in self._changes(study):
                    changed.put((place, each))
            except Exception as error:  # raised where the studies are iterated over
                changed.put(error)

        studies = [self.study(id) for id in study_ids]
        for place, study in enumerate(studies):
            Thread(target=follow, args=(place, study), daemon=True).start()
        yield list(studies)
        while not all(study.has_ended for study in studies):
            news = changed.get()
            if isinstance(news, Exception):
                raise news
            place, studies[place] = news
            yield list(studies)

    def _changes(self, study: Study) -> Iterator[Study]:
        """The study after every change until it has ended.

        A stream of events tells of changes. Where it breaks, or something on the way lets none
        through, the study is asked for instead before the next stream is tried.
        """
        while not study.has_ended:
            try:
                for message in self._connection.messages(f"{path_of(study)}/events"):
                    study = Study.model_validate_json(message["data"]).of(cast("Client", self))
                    yield study
            except (httpx.TransportError, Refused, Unreachable, ValidationError):
                pass
            if not study.has_ended:
                time.sleep(POLL_S)
                study = self.refresh(study)
                yield study

    def trials(self, study_id: UUID | str) -> Iterator[TrialView]:
        """Iterate over all trials of a study, by number, fetched page by page."""
        for page in self._pages(TrialPage, f"/studies/{id_of(study_id)}/trials"):
            yield from page.trials

    def front(self, study_id: UUID | str) -> Front:
        """Fetch the trials of a study that no other trial dominates."""
        study = self.study(study_id)  # raises OtherKind if the id belongs to something else
        return self._connection.ask(Front, "GET", f"/studies/{study.id}/pareto")

    def export_trials(self, study_id: UUID | str, kind: str) -> bytes:
        """Fetch all trials of a study as the content of one file, of kind `csv` or `parquet`."""
        study = self.study(study_id)  # raises OtherKind if the id belongs to something else
        return self._connection.content(f"/studies/{study.id}/trials.{kind}")

    def trials_frame(self, study_id: UUID | str) -> "pd.DataFrame":
        """Fetch a table with a row for each trial of a study."""
        import pandas as pd

        return pd.read_parquet(BytesIO(self.export_trials(study_id, "parquet")))

    def study_figure(
        self,
        study_id: UUID | str,
        name: StudyFigure | str = StudyFigure.PHASE_DIAGRAM,
        kind: PictureKind = "svg",
    ) -> Picture:
        """Fetch a figure of what there is of a study so far, drawn for this request."""
        path = f"/studies/{id_of(study_id)}/figures/{quote(name, safe='')}.{quote(kind, safe='')}"
        return Picture(kind, self._connection.content(path))

    def models(self, study_id: UUID | str) -> StudyModels:
        """Fetch all known models of a study's problem, page by page, and what beats each."""
        study = self.study(study_id)  # raises OtherKind if the id belongs to something else
        *earlier, last = self._pages(StudyModels, f"/studies/{study.id}/models")
        models = [model for page in (*earlier, last) for model in page.models]
        return last.model_copy(update={"models": models})

    def order_study(self, study_id: UUID | str, order: Order) -> Study:
        """Pause, resume or cancel a study, or have it try its failed trials again."""
        return self._ask_study(study_id, "POST", f"/{quote(order, safe='')}")

    def extend_study(
        self,
        study_id: UUID | str,
        trials: int | None = None,
        seeds: Sequence[int] = (),
        *,
        budget_steps: int | None = None,
        training_steps: int | None = None,
    ) -> Study:
        """Ask a study for more trials or steps, more seeds in every trial, or longer trainings.

        Args:
            study_id: Id of the study.
            trials: How many more completed trials.
            seeds: Further seeds.
            budget_steps: How many more training steps the study may spend, if it has a budget of
                steps.
            training_steps: Number of steps at the end of each training, those of before included.
        """
        more = {"trials": trials, "budget_steps": budget_steps, "training_steps": training_steps}
        extension = {name: number for name, number in more.items() if number is not None}
        return self._ask_study(
            study_id,
            "POST",
            "/extend",
            content=as_json({**extension, "seeds": list(seeds)}),
            headers=IS_JSON,
        )

    def _ask_study(
        self,
        study_id: UUID | str,
        method: str,
        below: str = "",
        **request: Any,  # noqa: ANN401
    ) -> Study:
        id = id_of(study_id)
        try:
            return self._ask(Study, method, f"/studies/{id}{below}", **request)
        except Refused as refused:
            if refused.problem.status != 404:
                raise
            if self._look_up(Experiment, id):
                raise OtherKind(id, "an experiment, not a study") from None
            if self._look_up(Run, id):
                raise OtherKind(id, "a run, not a study") from None
            raise
