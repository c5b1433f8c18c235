"""Keeps MLflow's server to its own artifacts, whoever asks it for others.

MLflow reads and writes wherever an experiment, a model or a trace says that its artifacts are, and
whoever may make one of these could name any folder of the machine, or a host. So no location is
stored but one of this server, and no other is opened, such as one that was stored before.

Both are checked after MLflow has read the request, so that no encoding of it hides anything.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import _PROMPT_SOURCE_PLACEHOLDERS
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.server.constants import ARTIFACTS_DESTINATION_ENV_VAR
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import (
    SqlExperiment,
    SqlLoggedModel,
    SqlRun,
    SqlTraceTag,
)
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_ARTIFACT_LOCATION, MLFLOW_TRACE_ARCHIVE_LOCATION
from mlflow.utils.uri import is_local_uri
from sqlalchemy import event

#: Schemes of what this server keeps itself.
OWN_SCHEMES = {"mlflow-artifacts", "runs", "models"}
#: Characters; MLflow stores no longer location.
LONGEST = 1000

_COLUMNS: tuple[Any, ...] = (
    SqlExperiment.artifact_location,
    SqlRun.artifact_uri,
    SqlLoggedModel.artifact_location,
    SqlModelVersion.source,
    SqlModelVersion.storage_location,
)
_TAGS = (MLFLOW_ARTIFACT_LOCATION, MLFLOW_TRACE_ARCHIVE_LOCATION)


def keep_to_own_artifacts() -> None:
    """Make MLflow's server in this process refuse other locations, with status 403."""
    for column in _COLUMNS:
        event.listen(column, "set", _check_column)
    for change in ("before_insert", "before_update"):
        event.listen(SqlTraceTag, change, _check_tag)
    repositories: dict[str, Any] = get_registered_artifact_repositories()
    for scheme, make in repositories.items():
        if scheme not in OWN_SCHEMES:
            repositories[scheme] = _only_inside(make)


def is_own(location: str) -> bool:
    """Whether this is a location of this server, and cannot lead out of it."""
    if len(location) > LONGEST:
        return False
    while (plain := unquote(location)) != location:
        location = plain
    try:
        parts = urlsplit(location)
    except ValueError:  # an incomplete IPv6 address
        return False
    is_here = parts.scheme in OWN_SCHEMES and not parts.netloc
    return is_here and "\\" not in location and ".." not in location.split("/")


def _check_column(_row: object, location: str | None, *_: object) -> None:
    if location and location not in _PROMPT_SOURCE_PLACEHOLDERS and not is_own(location):
        raise _foreign(location)


def _check_tag(_mapper: object, _connection: object, tag: Any) -> None:  # noqa: ANN401
    if tag.key in _TAGS:
        _check_column(tag, tag.value)


def _only_inside(make: Callable[..., ArtifactRepository]) -> Callable[..., ArtifactRepository]:
    """What opens a location as `make` does, if it is inside the folder of this server."""

    def make_inside(location: str, *arguments: Any, **options: Any) -> ArtifactRepository:  # noqa: ANN401
        if not _is_inside(location, os.environ[ARTIFACTS_DESTINATION_ENV_VAR]):
            raise _foreign(location)
        return make(location, *arguments, **options)

    return make_inside


def _is_inside(location: str, root: str) -> bool:
    if _is_local(location) and _is_local(root):
        return _path_of(location).is_relative_to(_path_of(root))
    return f"{location}/".startswith(f"{root.rstrip('/')}/") and ".." not in location.split("/")


def _is_local(location: str) -> bool:
    return bool(is_local_uri(location))  # type: ignore[no-untyped-call]


def _path_of(location: str) -> Path:
    return Path(local_file_uri_to_path(location)).resolve()  # type: ignore[no-untyped-call]


def _foreign(location: str) -> MlflowException:
    return MlflowException(
        f"this server does not keep artifacts at {location[:200]!r}; allowed: its own, which it "
        "chooses if no location is given, as mlflow-artifacts:/ followed by a path, and for "
        "models runs:/ or models:/",
        error_code=PERMISSION_DENIED,
    )
