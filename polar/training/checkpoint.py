"""Checkpoints: a run's state on disk, from which it goes on as if it had never stopped."""

import contextlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from polar.errors import CheckpointUnusable
from polar.files import written_aside
from polar.records.events import Evaluation
from polar.training.state import TrainingState

#: Raised whenever the content changes in a way that this module can no longer read.
FORMAT = 1
#: Checkpoints of a folder that are kept: the newest, and one to fall back on.
KEPT = 2


def save(state: TrainingState, folder: Path) -> Path:
    """Write a checkpoint; it is either complete or not there, whenever the process dies.

    Of the others in the folder only the one before it is kept.

    Returns:
        Its path, which names the step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{state.step:08d}.pt"
    # Durable, because the checkpoints before it are removed; and an attempt that was given up may
    # still be writing the same step, which `written_aside` allows.
    with written_aside(path, is_durable=True) as aside, aside.open("xb") as file:
        torch.save(_content(state), file)
    _remove_others(folder, path)
    return path


def restore(state: TrainingState, source: Path) -> None:
    """Bring a fresh state to where a checkpoint was written.

    Args:
        state: Fresh, of the same spec and device.
        source: A checkpoint (`.pt`), or a folder: then its newest that can be used; an empty or
            missing folder leaves the state fresh.

    Raises:
        CheckpointUnusable: it is damaged, or of another format, spec, dataset or device.
    """
    reason = None
    for path in [source] if source.suffix == ".pt" else newest_first(source):
        try:
            return _restore_from(state, path)
        except CheckpointUnusable as error:
            reason = reason or error
    if reason is not None:
        raise reason


def newest_first(folder: Path) -> list[Path]:
    """The complete checkpoints of a folder."""
    return sorted(folder.glob("step-*.pt"), reverse=True)


def _content(state: TrainingState) -> dict[str, object]:
    return {
        "format": FORMAT,
        **state.identity,
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
    for name, expected in {"format": FORMAT, **state.identity}.items():
        if content.get(name) != expected:
            raise CheckpointUnusable(
                f"checkpoint {path} has {name} {content.get(name)}; this run has {expected}"
            )
    try:
        evaluations = [Evaluation.model_validate_json(text) for text in content["evaluations"]]
        state.model.load_state_dict(content["model"])
        state.optimiser.load_state_dict(content["optimiser"])
        state.noise.set_state(content["noise"])
        state.unreported.copy_(content["unreported"])
        state.reported_step = content["reported_step"]
        state.step = content["step"]
    except (KeyError, RuntimeError, TypeError, ValueError, ValidationError) as error:
        raise CheckpointUnusable(f"checkpoint {path} is not as it should be: {error}") from error
    state.evaluations[:] = evaluations


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
