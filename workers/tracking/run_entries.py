"""What MLflow stores about a run: names, parameters, tags, numbers and files, in its own form.

The functions are pure and give the same for the same rows. What is sent twice must be equal,
otherwise MLflow keeps it twice (numbers, logged images) or refuses it (parameters).
"""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict
from uuid import UUID

from polar.records.events import Result
from polar.records.words import SETTLED
from polar.spec import SCIENCE_VERSION, ExperimentSpec
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Study, Trial
from service.storage.tables import Artifact, FindingsRow, Metric, Run
from service.storage.telling import Said
from workers.tracking import description_entries
from workers.tracking.description_entries import LONGEST_TAG, shortened

Status = Literal["SCHEDULED", "RUNNING", "FINISHED", "FAILED", "KILLED"]

#: MLflow's own limit, in characters.
LONGEST_PARAMETER = 6000
NOTHING_SAID = Said()
#: Tag that makes MLflow's pages look for logged images.
HAS_IMAGES = {"mlflow.loggedImages": "True"}

#: Statuses of runs, trials and studies, whose states mean the same where they share a name.
_STATUS: Mapping[str, Status] = {
    RunState.QUEUED: "SCHEDULED",  # also between two attempts, when no agent works on the run
    RunState.RUNNING: "RUNNING",
    RunState.SUCCEEDED: "FINISHED",
    RunState.FAILED: "FAILED",
    RunState.CANCELLED: "KILLED",
    RunState.PRUNED: "KILLED",
    TrialState.COMPLETED: "FINISHED",
    TrialState.SUPERSEDED: "FINISHED",
    StudyState.PAUSED: "RUNNING",  # a paused study has not ended
}


class MLflowMetric(TypedDict):
    """A number in MLflow's form."""

    key: str
    value: float
    step: int
    #: Milliseconds since 1970.
    timestamp: int


def status(state: RunState | TrialState | StudyState) -> Status:
    """MLflow's word for a state; the tags hold the precise state."""
    return _STATUS[state]


def milliseconds(at: datetime) -> int:
    """The time in milliseconds since 1970."""
    return int(at.timestamp() * 1000)


def experiment_name(spec: ExperimentSpec) -> str:
    """Name of the group in which runs can be compared, such as `beta_vae-digits`."""
    return f"{spec.model.label}-{spec.dataset.label}"


def run_name(spec: ExperimentSpec, seed: int, said: Said = NOTHING_SAID) -> str:
    """Name that a researcher sees in every legend, such as `beta=0.5 seed 0 (my sweep)`.

    What tells runs of an experiment apart comes first, because legends cut long names off.
    """
    name, weight = spec.model.weight_name, spec.model.weight
    weighted = "" if name is None else f"{name}={weight:g} "
    whose = said.experiment or spec.name or experiment_name(spec)
    return said.name or f"{weighted}seed {seed} ({whose})"


def parameters(spec: ExperimentSpec, seed: int) -> dict[str, str]:
    """The whole spec with dotted names, and the seed of the run."""
    return dotted({**spec.model_dump(mode="json"), "seed": seed})


def dotted(content: Mapping[str, Any]) -> dict[str, str]:
    """Nested content in MLflow's form of parameters: flat, with dotted names, and as text."""
    return {
        key: shortened(_as_text(value), LONGEST_PARAMETER)
        for key, value in _flatten(content).items()
    }


def weights(spec: ExperimentSpec) -> dict[str, float]:
    """The swept weight as numbers, which charts can use as an axis; empty without a weight."""
    weight = spec.model.weight
    if weight is None:
        return {}
    return {"weight": weight} | ({"weight_log10": math.log10(weight)} if weight > 0 else {})


def marks(run_id: UUID) -> dict[str, str]:
    """Tags that identify the MLflow run of a run."""
    return {"polar.run_id": str(run_id)}


def tags(
    run: Run,
    spec: ExperimentSpec,
    of_findings: FindingsRow | None = None,
    said: Said = NOTHING_SAID,
    lost: Sequence[tuple[int, str]] = (),
) -> dict[str, str]:
    """The state of a run and of its findings, what it is about, and which attempts were lost."""
    result = Result.model_validate(run.result) if run.result else None
    texts = {
        **description_entries.entries(_about(run, result), said),
        "mlflow.source.name": "polar",
        **marks(run.id),
        "polar.state": run.state,
        "polar.status_reason": run.status_reason or "none",
        "polar.attempt": str(run.attempt),
        "polar.lost_attempts": ", ".join(f"{number} ({why})" for number, why in lost) or "none",
        "polar.model": spec.model.label,
        "polar.dataset": spec.dataset.label,
        "polar.dataset_sha256": run.dataset_digest,
        "polar.spec_hash": spec.content_hash(),
        "polar.science_version": str(result.science_version if result else SCIENCE_VERSION),
    }
    if result:
        texts["polar.regime"] = result.final.verdict.regime
        texts["polar.flaws"] = ", ".join(result.final.verdict.flaws) or "none"
        texts["polar.settled"] = SETTLED[result.settled] or "unknown"
    if of_findings:
        texts["polar.findings"] = ": ".join(filter(None, (of_findings.state, of_findings.message)))
    return as_tags(texts)


def as_tags(texts: Mapping[str, str]) -> dict[str, str]:
    """The texts, each shortened to the length that MLflow takes."""
    return {key: shortened(value, LONGEST_TAG) for key, value in texts.items()}


def metric(row: Metric) -> MLflowMetric:
    """A stored number in MLflow's form."""
    return metric_of(row.key, row.value, row.step, row.at)


def metric_of(key: str, value: float, step: int, at: datetime) -> MLflowMetric:
    """A number in MLflow's form; it keeps equal entries once, so `at` must be a stored time."""
    return {"key": key, "value": value, "step": step, "timestamp": milliseconds(at)}


def dataset(run: Run, spec: ExperimentSpec) -> dict[str, str]:
    """The dataset of a run, for the column of this name in MLflow."""
    return {
        "name": spec.dataset.label,
        "digest": run.dataset_digest[:12],  # for people; a tag holds the whole digest
        "source_type": "polar",
        "source": spec.dataset.label,
        "profile": json.dumps({"num_rows": spec.dataset.images}),
    }


def image_names(artifact: Artifact) -> list[str]:
    """Names under which MLflow takes a figure for a logged image; empty for other files.

    MLflow shows the logged images of one or several runs next to the charts, and recognises them
    by their names (`log_image` in mlflow/tracking/client.py). Its own names are random in each
    call. These names are fixed, so that an image that is sent twice stays a single image. Figures
    are small enough to be shown as they are, so the `compressed` image is the same.
    """
    key, _, kind = artifact.name.rpartition(".")
    if kind != "png":
        return []
    at = milliseconds(artifact.at)
    image = f"images/{key.replace('/', '~')}+step+0+timestamp+{at}+{artifact.run_id}"
    return [f"{image}.png", f"{image}+compressed.png"]


def _flatten(part: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in part.items():
        flat |= (
            _flatten(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return flat


def _as_text(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def _about(run: Run, result: Result | None) -> str:
    about = result.explanation if result else standing(run)
    return f"{about}\n\nPolar run `{run.id}`, attempt {run.attempt}."


def standing(row: Run | Study | Trial) -> str:
    """The state of a row and the reason for it, in words."""
    if row.status_message:
        return f"**{row.state}** ({row.status_reason}): {row.status_message}"
    return f"**{row.state}**"
