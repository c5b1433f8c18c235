"""Datasets of torchvision, by their class; torchvision is imported here only."""

import importlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from polar.data.pictures import Picture, Pictures, Value, as_array, has_no_colours
from polar.errors import DatasetMissing, InvalidInput


def of_torchvision(name: str, root: Path) -> Pictures:
    """A dataset of torchvision in its default split, with its targets as factors.

    Args:
        name: Its class in `torchvision.datasets`.
        root: The folder into which torchvision downloads, each dataset into its own.

    Raises:
        InvalidInput: torchvision has no such dataset, or not one of pictures.
        DatasetMissing: torchvision is not installed, or cannot download the dataset.
    """
    try:
        datasets = importlib.import_module("torchvision.datasets")
    except ImportError as error:
        raise DatasetMissing(
            "torchvision is not installed; `pip install torchvision` installs it"
        ) from error
    kind: Any = getattr(datasets, name, None)
    is_dataset = inspect.isclass(kind) and issubclass(kind, datasets.VisionDataset)
    if not is_dataset:
        raise InvalidInput(
            f"torchvision has no dataset {name!r}; allowed: its classes, such as FashionMNIST"
        )
    parameters = inspect.signature(kind).parameters
    download = {"download": True} if "download" in parameters else {}
    try:
        dataset: Any = kind(root / name, **download)
    except (OSError, RuntimeError) as error:
        raise DatasetMissing(
            f"torchvision cannot get {name} into {root / name}: {error}"
        ) from error
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"torchvision's {name} needs more than a folder: {error}") from error
    first, target = dataset[0]
    if not hasattr(first, "mode"):
        raise InvalidInput(f"torchvision's {name} holds no pictures but {type(first).__name__}")
    is_grey = has_no_colours(first)

    def each() -> Iterator[Picture]:
        return (as_array(dataset[place][0], is_grey=is_grey) for place in range(len(dataset)))

    return Pictures(len(dataset), each, _targets(dataset, target))


def _targets(dataset: Any, target: Any) -> dict[str, Sequence[Value]]:  # noqa: ANN401
    """CelebA's attributes by their names, the class of each picture elsewhere, or no factor."""
    known = getattr(dataset, "attr", None)
    if known is not None:
        names = [name for name in dataset.attr_names if name]
        return {name: known[:, place].tolist() for place, name in enumerate(names)}
    if not isinstance(target, int):
        return {}
    kept = [getattr(dataset, name) for name in ("targets", "labels") if hasattr(dataset, name)]
    values = kept[0] if kept else [dataset[place][1] for place in range(len(dataset))]
    numbers = [int(value) for value in values]
    words = list(getattr(dataset, "classes", ()))
    is_named = len(words) > max(numbers)
    return {"class": [words[number] for number in numbers] if is_named else numbers}
