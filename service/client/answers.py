"""Answers about experiments, runs and studies, which know the client that they came from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Self
from uuid import UUID

from pydantic import PrivateAttr

from polar.records.phases import StudyFigure
from polar.records.pictures import PictureKind
from service.api.experiments.schemas import ExperimentView
from service.api.runs.schemas import RunView
from service.api.schemas import ResponseModel
from service.api.studies.schemas import StudyView
from service.client import display
from service.client.errors import ClientError
from service.client.picture import FIGURE_TIMEOUT_S, Picture
from service.storage.states import RunState

if TYPE_CHECKING:
    import pandas as pd

    from polar.experiment.trained_model import TrainedModel
    from service.client.client import Client


class Answer(ResponseModel, ABC):
    """What answers about experiments, runs and studies have in common."""

    #: The part of its address before its id.
    RESOURCE: ClassVar[str]

    _asked: "Client | None" = PrivateAttr(None)

    id: UUID

    def __repr__(self) -> str:
        return f"<{self.title}>"

    def __str__(self) -> str:
        return repr(self)

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is, its name, and its state."""

    def of(self, client: "Client") -> Self:
        """The same answer, which asks this client for more."""
        self._asked = client
        return self

    @property
    def _client(self) -> "Client":
        if self._asked is None:
            raise ClientError(f"{self!r} was not fetched here; client.find(id) fetches it")
        return self._asked

    def __eq__(self, other: object) -> bool:
        """Whether both say the same, whoever fetched them."""
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), self.id))

    def __getstate__(self) -> dict[Any, Any]:
        """What is pickled: all but the client."""
        return {**super().__getstate__(), "__pydantic_private__": {"_asked": None}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return type(self).model_validate(deepcopy(self.model_dump(), memo))

    @property
    @abstractmethod
    def has_ended(self) -> bool:
        """Whether it has ended, well or not."""

    def refresh(self) -> Self:
        """Fetch it anew."""
        return self._client.refresh(self)

    def describe(
        self,
        *,
        name: str | None = None,
        tags: Mapping[str, str | None] | None = None,
        note: str | None = None,
    ) -> Self:
        """Name, tag or annotate it, as `Client.describe`."""
        described = self._client.describe(self, name=name, tags=tags, note=note)
        assert isinstance(described, type(self))
        return described

    def wait(self, timeout_s: float | None = None) -> Self:
        """Fetch it once it has ended, as `Client.wait`."""
        return self._client.wait(self, timeout_s)


class Experiment(Answer, ExperimentView):
    """An experiment: its state and its runs when it was fetched."""

    RESOURCE = "experiments"

    @property
    def title(self) -> str:
        """What it is, its name, and its state."""
        return f"experiment {self.name or self.id}: {self.state}"

    @property
    def has_ended(self) -> bool:
        """Whether none of its runs goes on, for this experiment or for another."""
        return all(run.state.is_final for run in self.runs)

    def frame(self) -> "pd.DataFrame":
        """A row for each run: its seed, state and steps, and the verdict of its newest evaluation.

        No request is sent.
        """
        import pandas as pd

        return pd.DataFrame(map(display.row_of_run, self.runs))

    def run(self, seed: int | None = None) -> "Run":
        """Fetch the run of a seed; by default the first that has succeeded, or else the first.

        Raises:
            ClientError: the experiment has no such seed.
        """
        runs = [run for run in self.runs if seed in (None, run.seed)]
        if not runs:
            seeds = ", ".join(str(run.seed) for run in self.runs)
            raise ClientError(f"the experiment has no run of seed {seed}; allowed: {seeds}")
        succeeded = [run for run in runs if run.state is RunState.SUCCEEDED]
        return self._client.run((succeeded or runs)[0].id)

    def extend(self, steps: int) -> "Experiment":
        """Let its trainings go on to so many steps, in a new experiment."""
        extended = self._client.extend(self.id, steps)
        assert isinstance(extended, Experiment)
        return extended

    def cancel(self) -> "Experiment":
        """Cancel those of its runs that no other experiment wants."""
        cancelled = self._client.cancel(self.id)
        assert isinstance(cancelled, Experiment)
        return cancelled

    def _repr_html_(self) -> str:
        return display.of_experiment(self.title, self.frame())


class Run(Answer, RunView):
    """A run: its state and its result when it was fetched."""

    RESOURCE = "runs"

    @property
    def title(self) -> str:
        """What it is, its name, and its state."""
        return f"run {self.name or self.id}: {self.state}"

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, well or not; its figures may be still to come."""
        return self.state.is_final

    def frame(self) -> "pd.DataFrame":
        """A row for each latent at each evaluation: its entropy, label, usage and so on."""
        return self._client.latents(self.id)

    def evaluations(self) -> "pd.DataFrame":
        """A row for each evaluation: its step, its losses and its verdict."""
        return self._client.evaluations(self.id)

    def figure(
        self,
        name: str,
        timeout_s: float | None = FIGURE_TIMEOUT_S,
        *,
        kind: PictureKind = "png",
    ) -> Picture:
        """Fetch a figure, such as `traversals`, as `Client.figure`."""
        return self._client.figure(self.id, name, timeout_s, kind=kind)

    def figures(self) -> list[str]:
        """Names of the figures that are there; most come a while after the end of the run."""
        return self._client.figures(self.id)

    def model(self) -> "TrainedModel":
        """Fetch the trained model, with `encode` and `decode`."""
        return self._client.model(self.id)

    def extend(self, steps: int) -> Experiment:
        """Let its training go on to so many steps, in a new experiment."""
        extended = self._client.extend(self.id, steps)
        assert isinstance(extended, Experiment)
        return extended

    def cancel(self) -> "Run":
        """Cancel it even if several experiments want it."""
        cancelled = self._client.cancel(self.id)
        assert isinstance(cancelled, Run)
        return cancelled

    def _repr_html_(self) -> str:
        return display.of_run(self.title, self)


class Study(Answer, StudyView):
    """A study: how far it had come when it was fetched."""

    RESOURCE = "studies"

    @property
    def title(self) -> str:
        """What it is, its name, and its state."""
        return f"study {self.name or self.id}: {self.state}"

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, well or not; a paused study has not."""
        return self.finished_at is not None

    def frame(self) -> "pd.DataFrame":
        """A row for each trial: its point, its values and its measures."""
        return self._client.trials_frame(self.id)

    def figure(
        self,
        name: StudyFigure | str = StudyFigure.PHASE_DIAGRAM,
        kind: PictureKind = "svg",
    ) -> Picture:
        """Draw a figure of what there is so far."""
        return self._client.study_figure(self.id, name, kind)

    def best_run(self) -> Run:
        """Fetch the run of the best trial; of several, the first that has succeeded.

        Raises:
            ClientError: there is no best trial yet, or there are several objectives.
        """
        if self.best is None:
            raise ClientError(f"study {self.id} has no best trial; it is {self.state}")
        return self._client.experiment(self.best.experiment_id).run()

    def extend(
        self,
        trials: int | None = None,
        seeds: Sequence[int] = (),
        *,
        budget_steps: int | None = None,
        training_steps: int | None = None,
    ) -> "Study":
        """Ask for more trials or steps, more seeds, or longer trainings."""
        return self._client.extend_study(
            self.id, trials, seeds, budget_steps=budget_steps, training_steps=training_steps
        )

    def pause(self) -> "Study":
        """Begin no new trials; those in flight go on."""
        return self._client.order_study(self.id, "pause")

    def resume(self) -> "Study":
        """Go on after a pause."""
        return self._client.order_study(self.id, "resume")

    def cancel(self) -> "Study":
        """Cancel it, with those runs of its trials that nobody else wants."""
        return self._client.order_study(self.id, "cancel")

    def _repr_html_(self) -> str:
        return display.of_study(self.title, self)
