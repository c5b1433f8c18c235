"""Requests about what a run has measured and made."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, get_args
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel

from polar.records.events import MODEL_FILE
from polar.records.latents import Verdict
from polar.records.pictures import PictureKind
from service.api.runs.schemas import Diagnostics, EvaluationSummary, Figures, LatentRow
from service.client import display
from service.client.clock import Clock
from service.client.errors import Refused
from service.client.picture import FIGURE_TIMEOUT_S, Picture
from service.client.requests import Requests, id_of

if TYPE_CHECKING:
    import pandas as pd

    from polar.experiment.trained_model import TrainedModel


class Log(NamedTuple):
    """A part of what an attempt at a run has printed."""

    text: str
    attempt: int
    #: The place at which it ends, from which the next part goes on.
    end: int


class RequestsOfResults(Requests):
    """The part of `Client` about the results of runs."""

    def model_file(self, run_id: UUID | str) -> bytes:
        """Fetch the trained model of a run as the content of a file that `polar.load` loads."""
        return self._connection.content(f"/runs/{id_of(run_id)}/model")

    def model(self, run_id: UUID | str) -> "TrainedModel":
        """Fetch the trained model of a run, with `encode` and `decode`, as `polar.load` does."""
        content = self.model_file(run_id)
        from polar.experiment.model_file import load  # this takes seconds, after any refusal

        with TemporaryDirectory() as folder:
            path = Path(folder) / MODEL_FILE
            path.write_bytes(content)
            return load(path)

    def diagnostics(self, run_id: UUID | str) -> Diagnostics:
        """Fetch everything that was measured of a run so far."""
        return self._connection.ask(Diagnostics, "GET", f"/runs/{id_of(run_id)}/diagnostics")

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

    def log(
        self,
        run_id: UUID | str,
        tail: int = 200,
        *,
        attempt: int | None = None,
        after: int | None = None,
    ) -> Log:
        """Fetch what a run has printed: its last lines, or what follows an earlier part.

        Args:
            run_id: Id of the run.
            tail: How many lines at most, unless `after` is given.
            attempt: Number of an attempt; by default the newest.
            after: `end` of an earlier part.
        """
        params = {"tail": tail, "attempt": attempt, "after": after}
        given = {name: value for name, value in params.items() if value is not None}
        answer = self._connection.answer(f"/runs/{id_of(run_id)}/log", params=given)
        return Log(
            answer.content.decode(),
            int(answer.headers["Log-Attempt"]),
            int(answer.headers["Log-End"]),
        )

    def figures(self, run_id: UUID | str) -> list[str]:
        """Fetch the names of the figures of a run that are there."""
        listed = self._connection.ask(Figures, "GET", f"/runs/{id_of(run_id)}/figures")
        return [figure.name.removesuffix(".png") for figure in listed.figures]

    def figure(
        self,
        run_id: UUID | str,
        name: str,
        timeout_s: float | None = FIGURE_TIMEOUT_S,
        *,
        kind: PictureKind = "png",
    ) -> Picture:
        """Fetch a figure of a run that has succeeded; those still to come are asked for.

        Args:
            run_id: Id of the run.
            name: Name of the figure, such as `traversals`.
            timeout_s: Seconds to wait for figures that are still to come; None for any time.
            kind: Kind of the picture; `svg` and `pdf` are drawn for this request.

        Raises:
            TimeoutError: the figures are still to come when the time is over.
        """
        clock = Clock(timeout_s)
        while (picture := self.figure_if_made(run_id, name, kind)) is None:
            clock.pause(f"the figures of run {run_id} are still to come")
        return picture

    def figure_if_made(
        self, run_id: UUID | str, name: str, kind: PictureKind = "png"
    ) -> Picture | None:
        """Fetch a figure of a run; None, after asking for it, while it is still to come."""
        stem, _, ending = str(name).rpartition(".")
        file = quote(f"{stem if ending in get_args(PictureKind) else name}.{kind}", safe="")
        try:
            return Picture(kind, self._connection.content(f"/runs/{id_of(run_id)}/figures/{file}"))
        except Refused as refused:
            if refused.problem.type.endswith(":findings-to-come"):
                return None
            raise


def _frame(rows: Sequence[Mapping[str, Any]], *models: type[BaseModel]) -> "pd.DataFrame":
    """A table with the columns of these models, even if it has no rows."""
    import pandas as pd

    columns = [name for model in models for name in model.model_fields if name != "verdict"]
    return pd.DataFrame(rows, columns=columns)
