"""`result.json`: what a run's folder says of the run, with its spec and how long it took."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import FiniteFloat, TypeAdapter

from polar.errors import InvalidInput
from polar.files import written_aside
from polar.records.events import RESULT_FILE, ArtifactSaved, Result
from polar.spec import ExperimentSpec

_TIMING: Final = TypeAdapter(dict[str, int | FiniteFloat | str])


@dataclass(frozen=True)
class Outcome:
    """The content of `result.json`."""

    result: Result
    #: The spec of the run, with one seed.
    spec: ExperimentSpec
    #: Seconds and steps of the training, and what it ran on.
    timing: dict[str, float | str]


def save_outcome(outcome: Outcome, folder: Path) -> ArtifactSaved:
    """Writes the file, which is complete and on disk then, in place of an earlier one."""
    content = {
        **outcome.result.model_dump(mode="json", exclude={"event"}),
        "spec": outcome.spec.model_dump(mode="json"),
        "timing": outcome.timing,
    }
    with written_aside(folder / RESULT_FILE, is_durable=True) as aside:
        aside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
    return artifact(folder, folder / RESULT_FILE)


def read_outcome(folder: Path) -> Outcome:
    """The content of the file.

    Raises:
        InvalidInput: there is no such file, it cannot be read, or it is not a result of this
            version.
    """
    path = folder / RESULT_FILE
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise TypeError(f"it holds {type(content).__name__}; allowed: an object")
        spec = ExperimentSpec.model_validate(content.pop("spec"))
        timing = _TIMING.validate_python(content.pop("timing"))
        return Outcome(Result.model_validate(content), spec, timing)
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidInput(
            f"{folder} has no {RESULT_FILE}; allowed: the folder of a run that has ended"
        ) from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput(f"{path} is not a result of this version: {error}") from error


def artifact(folder: Path, path: Path) -> ArtifactSaved:
    """The event that says that a file in the folder is complete."""
    return ArtifactSaved(name=path.relative_to(folder).as_posix(), path=str(path))
