"""A small client of the API, whose answers have the API's own types."""

import json
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

from pydantic import BaseModel

from polar.records.events import MODEL_FILE
from polar.records.latents import Verdict
from polar.records.phases import StudyFigure
from polar.spec.submitted import SubmittedSpec
from service.api.catalogue.schemas import DatasetView
from service.api.experiments.schemas import ExperimentPage, ExperimentSummary, Plan
from service.api.run_events import RunEvent
from service.api.runs.schemas import (
    Diagnostics,
    EvaluationSummary,
    Figures,
    FindingsView,
    LatentRow,
)
from service.api.studies.schemas import (
    StudyModels,
    StudyPage,
    StudyPlan,
    StudySummary,
    TrialPage,
    TrialView,
)
from service.client import display
from service.client.answers import Answer, Experiment, Run, Study
from service.client.clock import Clock
from service.client.connection import Connection
from service.client.errors import ClientError, OtherKind, Refused
from service.client.picture import Picture

if TYPE_CHECKING:
    import pandas as pd

    from polar.experiment.trained_model import TrainedModel

_IS_JSON = {"Content-Type": "application/json"}

#: A spec as it is read from YAML or JSON, or as `polar.ExperimentSpec` and `polar.spec.StudySpec`.
Spec = Mapping[str, Any] | SubmittedSpec

#: What a study can be ordered to do, besides extending it.
Order = Literal["pause", "resume", "cancel", "retry-failed"]

P = TypeVar("P", ExperimentPage, StudyModels, StudyPage, TrialPage)
K = TypeVar("K", bound=Answer)

#: Seconds to wait for figures that are still to come.
FIGURE_TIMEOUT_S = 600.0


class Client:
    """Sends requests to one service, and repeats them while nobody answers.

    A request that would not be safe to repeat is repeated only if it did not reach the service.

    Raises (all methods):
        Unreachable: nothing answers, or something else than the service, or another home's stack.
        Refused: the service refuses the request.
        ClientError: an id is not of the form of ids.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        home: Path | None = None,
        pauses_s: Sequence[float] | None = None,
    ) -> None:
        """Connect to the service at `url`, or to the stack of `home`.

        If neither is named, the environment decides: POLAR_URL, or else the home POLAR_HOME, or
        else the home `~/.polar`. For a home, the client makes sure that it is the home's own stack
        that answers; for a URL, any service will do.

        Args:
            url: Address of the service.
            home: Folder of the stack.
            pauses_s: Seconds before the second, third, ... try of a request that nobody answered;
                by default `service.client.connection.PAUSES_S`.

        Raises:
            InvalidInput: the URL is not valid, or the home does not exist or cannot be read.
            Unreachable: no stack runs in the home.
        """
        self._connection = Connection(url, home, pauses_s)
        self.url = self._connection.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; without this they close when the program ends."""
        self._connection.close()

    def submit(self, spec: Spec, *, force: bool = False, key: str | None = None) -> Experiment:
        """Submit an experiment, once for each idempotency key; by default the key is a new one."""
        return self._ask(
            Experiment,
            "POST",
            "/experiments",
            params={"force": force},
            content=_json(spec),
            headers={**_IS_JSON, "Idempotency-Key": key or uuid4().hex},
        )

    def validate(self, spec: Spec) -> Plan:
        """Fetch what the experiment would be, complete with defaults; nothing is stored."""
        return self._connection.ask(
            Plan, "POST", "/experiments/validate", content=_json(spec), headers=_IS_JSON
        )

    def experiments(self) -> Iterator[ExperimentSummary]:
        """Iterate over all experiments, newest first, fetched page by page."""
        for page in self._pages(ExperimentPage, "/experiments"):
            yield from page.experiments

    def experiment(self, experiment_id: UUID | str) -> Experiment:
        return self._ask(Experiment, "GET", f"/experiments/{_id(experiment_id)}")

    def run(self, run_id: UUID | str) -> Run:
        return self._ask(Run, "GET", f"/runs/{_id(run_id)}")

    def ask_for_findings(self, run_id: UUID | str) -> Run:
        """Have the findings of a run made before others; those that failed are tried again."""
        self._connection.ask(FindingsView, "POST", f"/runs/{_id(run_id)}/findings")
        return self.run(run_id)

    def model(self, run_id: UUID | str) -> bytes:
        """Fetch the trained model of a run as the content of a file that `polar.load` loads."""
        return self._connection.content(f"/runs/{_id(run_id)}/model")

    def trained_model(self, run_id: UUID | str) -> "TrainedModel":
        """Fetch the trained model of a run, with `encode` and `decode`, as `polar.load` does."""
        from polar.experiment.model_file import load

        with TemporaryDirectory() as folder:
            path = Path(folder) / MODEL_FILE
            path.write_bytes(self.model(run_id))
            return load(path)

    def datasets(self) -> list[DatasetView]:
        """Fetch the datasets that a spec can name, and the agents that have them."""
        offers = json.loads(self._connection.content("/datasets"))
        return [DatasetView.model_validate(offer) for offer in offers]

    def diagnostics(self, run_id: UUID | str) -> Diagnostics:
        """Fetch everything that was measured of a run so far."""
        return self._connection.ask(Diagnostics, "GET", f"/runs/{_id(run_id)}/diagnostics")

    def latents(self, run_id: UUID | str) -> "pd.DataFrame":
        """Fetch a table with a row for each latent at each evaluation of a run so far."""
        rows = [row.model_dump(mode="json") for row in self.diagnostics(run_id).latents]
        return _frame(rows, LatentRow)

    def evaluations(self, run_id: UUID | str) -> "pd.DataFrame":
        """Fetch a table with a row for each evaluation of a run so far, and its verdict."""
        rows = [
            {**seen.model_dump(exclude={"verdict"}), **display.row_of_verdict(seen.verdict)}
            for seen in self.diagnostics(run_id).evaluations
        ]
        return _frame(rows, EvaluationSummary, Verdict)

    def figures(self, run_id: UUID | str) -> list[str]:
        """Fetch the names of the figures of a run that are there."""
        listed = self._connection.ask(Figures, "GET", f"/runs/{_id(run_id)}/figures")
        return [figure.name.removesuffix(".png") for figure in listed.figures]

    def figure(
        self, run_id: UUID | str, name: str, timeout_s: float | None = FIGURE_TIMEOUT_S
    ) -> Picture:
        """Fetch a figure of a run that has succeeded; those still to come are asked for.

        Args:
            run_id: Id of the run.
            name: Name of the figure, such as `traversals`.
            timeout_s: Seconds to wait for figures that are still to come; None for any time.

        Raises:
            TimeoutError: the figures are still to come when the time is over.
        """
        clock = Clock(timeout_s)
        while (picture := self.figure_if_made(run_id, name)) is None:
            clock.pause(f"the figures of run {run_id} are still to come")
        return picture

    def figure_if_made(self, run_id: UUID | str, name: str) -> Picture | None:
        """Fetch a figure of a run; None, after asking for it, while it is still to come."""
        name = quote(name.removesuffix(".png"), safe="")
        try:
            return Picture(
                "png", self._connection.content(f"/runs/{_id(run_id)}/figures/{name}.png")
            )
        except Refused as refused:
            if refused.problem.type.endswith(":findings-to-come"):
                return None
            raise

    def wait(self, answer: K, timeout_s: float | None = None) -> K:
        """Fetch an experiment, a run or a study once it has ended, whether well or not.

        Args:
            answer: What to wait for, as it was fetched.
            timeout_s: Seconds to wait at most; None for any time.

        Raises:
            TimeoutError: it goes on when the time is over; it is not cancelled.
        """
        clock = Clock(timeout_s)
        while not answer.has_ended:
            clock.pause(f"{type(answer).__name__.lower()} {answer.id} goes on")
            answer = self.refresh(answer)
        return answer

    def refresh(self, answer: K) -> K:
        """Fetch an experiment, a run or a study anew."""
        return self._ask(type(answer), "GET", _path(answer))

    def find(self, id: UUID | str) -> Experiment | Run:
        """Fetch the experiment or the run with this id."""
        id = _id(id)
        if view := self._look_up(Experiment, id) or self._look_up(Run, id):
            return view
        if self._look_up(Study, id):
            raise OtherKind(id, "a study, neither an experiment nor a run")
        raise ClientError(f"there is neither an experiment nor a run {id} at {self.url}")

    def _look_up(self, kind: type[K], id: UUID) -> K | None:
        try:
            return self._ask(kind, "GET", f"/{kind.RESOURCE}/{id}")
        except Refused as refused:
            if refused.problem.status != 404:
                raise
            return None

    def cancel(self, id: UUID | str) -> Experiment | Run:
        """Cancel a run, or an experiment and those of its runs that no other experiment wants."""
        view = self.find(id)
        return self._ask(type(view), "POST", f"{_path(view)}/cancel")

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
            f"{_path(finished)}/extend",
            content=_json({"steps": steps}),
            headers={**_IS_JSON, "Idempotency-Key": key or uuid4().hex},
        )

    def watch(self, id: UUID | str) -> Iterator[RunEvent]:
        """Iterate over the events of a run, or of an experiment's runs, until they have ended.

        The first event of each run is its present state, and the last its final state.
        """
        return self._connection.events(f"{_path(self.find(id))}/events")

    def create_study(self, spec: Spec, *, key: str | None = None) -> Study:
        """Submit a study, once for each idempotency key; by default the key is a new one."""
        return self._ask(
            Study,
            "POST",
            "/studies",
            content=_json(spec),
            headers={**_IS_JSON, "Idempotency-Key": key or uuid4().hex},
        )

    def validate_study(self, spec: Spec) -> StudyPlan:
        """Fetch what the study would be, and how long it would take; nothing is stored."""
        return self._connection.ask(
            StudyPlan, "POST", "/studies/validate", content=_json(spec), headers=_IS_JSON
        )

    def studies(self) -> Iterator[StudySummary]:
        """Iterate over all studies, newest first, fetched page by page."""
        for page in self._pages(StudyPage, "/studies"):
            yield from page.studies

    def study(self, study_id: UUID | str) -> Study:
        return self._ask_study(study_id, "GET")

    def trials(self, study_id: UUID | str) -> Iterator[TrialView]:
        """Iterate over all trials of a study, by number, fetched page by page."""
        for page in self._pages(TrialPage, f"/studies/{_id(study_id)}/trials"):
            yield from page.trials

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
        kind: Literal["svg", "png", "pdf"] = "svg",
    ) -> Picture:
        """Fetch a figure of what there is of a study so far, drawn for this request."""
        path = f"/studies/{_id(study_id)}/figures/{quote(name, safe='')}.{quote(kind, safe='')}"
        return Picture(kind, self._connection.content(path))

    def models(self, study_id: UUID | str) -> StudyModels:
        """Fetch all known models of a study's problem, page by page, and what beats each."""
        study = self.study(study_id)  # raises OtherKind if the id belongs to something else
        *earlier, last = self._pages(StudyModels, f"/studies/{study.id}/models")
        models = [model for page in (*earlier, last) for model in page.models]
        return last.model_copy(update={"models": models})

    def order_study(self, study_id: UUID | str, order: Order) -> Study:
        """Pause, resume or cancel a study, or have it try its failed trials again."""
        is_repeatable = order != "retry-failed"
        return self._ask_study(study_id, "POST", f"/{order}", is_repeatable=is_repeatable)

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
    ) -> Study:
        id = _id(study_id)
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

    def _ask(self, kind: type[K], method: str, path: str, **request: Any) -> K:  # noqa: ANN401
        return self._connection.ask(kind, method, path, **request).of(self)

    def _pages(self, page: type[P], path: str) -> Iterator[P]:
        token: str | None = None
        while True:
            params = {"page_token": token} if token else {}
            answer = self._connection.ask(page, "GET", path, params=params)
            yield answer
            if (token := answer.next_page_token) is None:
                return


def _id(id: UUID | str) -> UUID:
    try:
        return id if isinstance(id, UUID) else UUID(id.strip())
    except ValueError:
        raise ClientError(
            f"{id!r} is not an id; allowed: 36 characters, such as "
            "5a0f6f0e-3b1c-4d52-9f5e-2c7d8a4b9e61; see `polar list` and `polar study list`"
        ) from None


def _frame(rows: Sequence[Mapping[str, Any]], *models: type[BaseModel]) -> "pd.DataFrame":
    """A table with the columns of these models, even if it has no rows."""
    import pandas as pd

    columns = [name for model in models for name in model.model_fields if name != "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _path(view: Answer) -> str:
    return f"/{view.RESOURCE}/{view.id}"


def _json(spec: Spec) -> str:
    """The spec as JSON, unchecked: the service refuses the dates and NaN that YAML allows."""
    if isinstance(spec, SubmittedSpec):
        spec = spec.model_dump(mode="json")
    try:
        return json.dumps(spec, default=str)
    except (TypeError, ValueError) as error:
        raise ClientError(f"the spec cannot be written as JSON: {error}") from error
