"""States of trainings on disk, from which a run goes on as if it had never stopped.

Checkpoints are states between two steps, of which a folder keeps the newest; a last state is what
a finished run keeps. Both are files of one kind.
"""

import contextlib
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from polar.errors import CheckpointUnusable
from polar.files import written_aside
from polar.records.events import Evaluation
from polar.regime.diagnostics import with_information
from polar.spec import SCIENCE_VERSION, ExperimentSpec
from polar.spec.course import course
from polar.training import schedule
from polar.training.state import TrainingState

#: Raised whenever the content changes in a way that this module can no longer read.
FORMAT = 2
#: Checkpoints of a folder that are kept: the newest, and one to fall back on.
KEPT = 2


def save(state: TrainingState, folder: Path) -> Path:
    """Write a checkpoint; it is either complete or not there, whenever the process dies.

    Only this checkpoint and the last before it stay in the folder.

    Returns:
        Its path, which names the step, counted from the beginning of a warm start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{state.steps_in_all:08d}.pt"
    write(state, path)
    _remove_others(folder, path)
    return path


def write(state: TrainingState, path: Path) -> None:
    """Write a state to a file, which is either complete or not there.

    The file is durable, because a checkpoint replaces those before it. An attempt that was given
    up may still be writing the same step, which `written_aside` allows.
    """
    with written_aside(path, is_durable=True) as aside, aside.open("xb") as file:
        torch.save(_content(state), file)


def restore(state: TrainingState, source: Path) -> None:
    """Bring a fresh state to where another of the same course was written.

    That may be a state of the same run, of a run with fewer steps, or of a stage of this run's
    warm start.

    Args:
        state: Fresh, and on the device of the other.
        source: A state (`.pt`), or a folder of checkpoints: then its newest that can be used; an
            empty or missing folder leaves the state fresh.

    Raises:
        CheckpointUnusable: it is damaged, of another format, course, dataset or device, or at a
            step that this run does not reach.
    """
    reason = None
    for path in [source] if source.suffix == ".pt" else newest_first(source):
        try:
            return _restore_from(state, path)
        except CheckpointUnusable as error:
            reason = reason or error
    if reason is not None:
        raise reason


@dataclass(frozen=True)
class End:
    """What is measured of a training at its end; the rest of a last state serves to go on."""

    #: The parameters and buffers of the model by name.
    weights: Mapping[str, Tensor]
    #: All evaluations, by ascending step.
    evaluations: tuple[Evaluation, ...]


def read_end(path: Path, spec: ExperimentSpec, dataset_digest: str) -> End:
    """The end of a run, by its last state, whatever device the run was trained on.

    Args:
        path: The last state.
        spec: The spec of the run, with one seed.
        dataset_digest: Digest of the dataset that the run was trained on.

    Raises:
        CheckpointUnusable: the state is missing, damaged, or of another run or version.
    """
    content = _read(path)
    identity: dict[str, str | int] = {
        "format": FORMAT,
        "science_version": SCIENCE_VERSION,
        "dataset_digest": dataset_digest,
        "course": course(spec),
    }
    _refuse_others(path, content, identity)
    try:
        texts = content["evaluations"]
        evaluations = tuple(Evaluation.model_validate_json(text) for text in texts)
        return End(content["model"], evaluations)
    except (KeyError, TypeError, ValidationError) as error:
        raise CheckpointUnusable(f"checkpoint {path} is not as it should be: {error}") from error


def newest_first(folder: Path) -> list[Path]:
    """The complete checkpoints of a folder."""
    return sorted(folder.glob("step-*.pt"), reverse=True)


def _content(state: TrainingState) -> dict[str, object]:
    return {
        "format": FORMAT,
        **state.identity,
        "course": course(state.spec),
        "step": state.step,
        "model": state.model.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "noise": state.noise.get_state(),
        "unreported": state.unreported,
        "reported_step": state.reported_step,
        "evaluations": [evaluation.model_dump_json() for evaluation in state.evaluations],
    }


def _restore_from(state: TrainingState, path: Path) -> None:
    content = _read(path)
    _refuse_others(path, content, {"format": FORMAT, **state.identity})
    stage = _stage(state, content, path)
    try:
        evaluations = [Evaluation.model_validate_json(text) for text in content["evaluations"]]
        state.model.load_state_dict(content["model"])
        state.optimiser.load_state_dict(content["optimiser"])
        state.noise.set_state(content["noise"])
        state.unreported.copy_(content["unreported"])
        state.reported_step = content["reported_step"]
        state.step, state.stage = content["step"], stage
    except (KeyError, RuntimeError, TypeError, ValueError, ValidationError) as error:
        raise CheckpointUnusable(f"checkpoint {path} is not as it should be: {error}") from error
    if not state.is_in_warm_start:
        state.evaluations[:] = _evaluations_of_this_run(state, evaluations, path)


def _refuse_others(
    path: Path, content: Mapping[str, Any], expected: Mapping[str, str | int]
) -> None:
    for name, value in expected.items():
        if content.get(name) != value:
            raise CheckpointUnusable(
                f"checkpoint {path} has {name} {content.get(name)}; this run has {value}"
            )


def _stage(state: TrainingState, content: Mapping[str, Any], path: Path) -> int:
    """The place of the training that the content is of, among the trainings of this run."""
    courses = [course(spec) for spec in state.trainings]
    found, step = content.get("course"), content.get("step")
    if found not in courses:
        raise CheckpointUnusable(
            f"checkpoint {path} has course {found}; this run has {', then '.join(courses)}"
        )
    stage = courses.index(found)
    last = state.trainings[stage].training.steps
    if not isinstance(step, int) or not 0 <= step <= last:
        raise CheckpointUnusable(f"checkpoint {path} is at step {step}; this run ends at {last}")
    return stage


def _evaluations_of_this_run(
    state: TrainingState, evaluations: Sequence[Evaluation], path: Path
) -> list[Evaluation]:
    """The evaluations without that at the end of a shorter run, which this run does not have."""
    steps = [step for step in schedule.evaluation_steps(state.spec) if step <= state.step]
    found = {evaluation.step: evaluation for evaluation in evaluations}
    missing = [step for step in steps if step not in found]
    if missing:
        raise CheckpointUnusable(f"checkpoint {path} lacks the evaluation at step {missing[0]}")
    chosen = [_as_measured_here(state, found[step]) for step in steps]
    settled_at = schedule.end(state.spec, chosen)
    if settled_at is not None and settled_at < state.step:
        raise CheckpointUnusable(
            f"checkpoint {path} is at step {state.step}; this run has settled at {settled_at}"
        )
    return chosen


def _as_measured_here(state: TrainingState, evaluation: Evaluation) -> Evaluation:
    """The evaluation without the information if only a shorter run measures it at this step."""
    has_settled = bool(evaluation.verdict.settled)
    if schedule.measures_information(state.spec, evaluation.step, has_settled=has_settled):
        return evaluation
    return evaluation.model_copy(update={"latents": with_information(evaluation.latents, None)})


def _read(path: Path) -> dict[str, Any]:  # what torch unpickles, before anything is checked
    """The content of a checkpoint file, whatever else the file may be."""
    try:
        _check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointUnusable(f"checkpoint {path} is damaged: {error}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointUnusable(f"checkpoint {path} holds more than plain data") from error
    if not isinstance(content, dict):
        raise CheckpointUnusable(f"checkpoint {path} is of another kind: {type(content).__name__}")
    return content


def _check_sums(path: Path) -> None:
    """torch.load does not look at the check sums that torch.save writes."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"wrong check sum of {damaged}")


def _remove_others(folder: Path, newest: Path) -> None:
    """Checkpoints of later steps too: they are of a run that was given up."""
    earlier = [path for path in newest_first(folder) if path < newest]
    kept = {newest, *earlier[: KEPT - 1]}
    for path in newest_first(folder):
        if path not in kept:
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                path.unlink()
