"""Specs whose images are a path: the images are added to this machine, and the spec names them."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polar.errors import InvalidInput
from polar.spec import read_spec_file, read_yaml
from polar.spec.datasets import OWN
from service.cli.output import say

if TYPE_CHECKING:
    from service.client import Client

#: How long to wait until an agent offers what was added: agents look every 15 s.
WAIT_S, LOOK_S = 30.0, 1.0
TORCHVISION = "torchvision"
#: The fields of a dataset that say how its images are added; the spec that is sent has their name.
HOW = ("path", "class", "split", "side", "table", "added")


def content_of(path: Path, client: "Client | None" = None, data_dir: Path | None = None) -> Any:  # noqa: ANN401
    """The content of a spec file, after the images that it has a path of were added.

    Args:
        path: The file of an experiment or a study. Its images' path starts at its own folder.
        client: The service whose agents will be asked for the images; None for a run here.
        data_dir: Folder of datasets.

    Raises:
        InvalidInput: the file cannot be read, or the images cannot be used.
        DatasetError: the images are damaged or cannot be stored.
    """
    content = read_yaml(read_spec_file(path))
    experiment = content.get("base", content) if isinstance(content, Mapping) else None
    if not isinstance(experiment, Mapping):
        return content
    dataset = _added(experiment.get("dataset"), path.parent, client, data_dir)
    completed = {**experiment, "dataset": dataset}
    if dataset is experiment.get("dataset"):
        return content
    return {**content, "base": completed} if "base" in content else completed


def _added(
    dataset: Any,  # noqa: ANN401
    folder: Path,
    client: "Client | None",
    data_dir: Path | None,
) -> Any:  # noqa: ANN401
    source = _source_of(dataset, folder)
    if source is None:
        return dataset
    from polar.data import own_images

    table = dataset.get("table")
    name, about = own_images.add_images(
        source,
        _text(dataset, "added"),
        side=dataset.get("side"),
        factors=folder / Path(str(table)).expanduser() if table is not None else None,
        data_dir=data_dir,
    )
    say(f"the images of {source} are on this machine as {name}")
    if client is not None:
        _wait_for_an_agent(client, name, about.digest)
    others = {field: value for field, value in dataset.items() if field not in HOW}
    return {**others, "name": OWN, "added": name}


def _source_of(dataset: Any, folder: Path) -> str | None:  # noqa: ANN401
    """Where the images of a spec come from; None for a spec that names its dataset."""
    if not isinstance(dataset, Mapping):
        return None
    if dataset.get("name") == TORCHVISION and (kind := _text(dataset, "class")):
        return ":".join(filter(None, (TORCHVISION, kind, _text(dataset, "split"))))
    if dataset.get("name") == OWN and (path := _text(dataset, "path")):
        return str(folder / Path(path).expanduser())
    return None


def _text(dataset: Mapping[str, Any], field: str) -> str | None:
    value = dataset.get(field)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"/dataset/{field} is {value!r}; allowed: text")
    return value


def _wait_for_an_agent(client: "Client", name: str, digest: str) -> None:
    """Wait until an agent offers the images; where none does, the service says so itself."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        offers = (view for view in client.datasets() if (view.name, view.digest) == (name, digest))
        if any(view.agents for view in offers):
            return
        time.sleep(LOOK_S)
