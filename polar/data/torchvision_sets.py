"""Datasets of torchvision, by their class; torchvision is imported here only."""

import importlib
import inspect
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from polar.data.pictures import Picture, Pictures, Value, as_array, has_no_colours
from polar.errors import DatasetMissing, InvalidInput

#: How a dataset of torchvision is named in place of a path.
TORCHVISION = "torchvision:"


def of_torchvision(name: str, root: Path) -> Pictures:
    """A dataset of torchvision, with its targets as factors.

    Args:
        name: Its class in `torchvision.datasets`, and behind a colon its split, such as
            `EMNIST:letters` or `SVHN:extra`; for classes that only know training and test images
            `train` or `test`. Without a split it is torchvision's default.
        root: The folder into which torchvision downloads, each dataset into its own.

    Raises:
        InvalidInput: torchvision has no such dataset or split, or not of pictures.
        DatasetMissing: torchvision is not installed, or cannot download the dataset.
    """
    try:
        datasets = importlib.import_module("torchvision.datasets")
    except ImportError as error:
        raise DatasetMissing(
            "torchvision is not installed; `pip install torchvision` installs it"
        ) from error
    name, _, split = name.partition(":")
    kind: Any = getattr(datasets, name, None)
    is_dataset = inspect.isclass(kind) and issubclass(kind, datasets.VisionDataset)
    if not is_dataset:
        raise InvalidInput(
            f"torchvision has no dataset {name!r}; allowed: its classes, such as FashionMNIST"
        )
    try:
        dataset: Any = kind(root / name, **_options(name, kind, split))
        n, (first, target) = len(dataset), dataset[0]
    except NotImplementedError as error:
        raise InvalidInput(f"torchvision's {name} is no dataset by itself") from error
    except (OSError, RuntimeError, ImportError) as error:
        raise DatasetMissing(
            f"torchvision cannot get {name} into {root / name}: {error}"
        ) from error
    except (TypeError, ValueError, IndexError) as error:
        hint = "" if split else f"; a split may be missing, as in {TORCHVISION}EMNIST:letters"
        raise InvalidInput(f"torchvision's {name} cannot be made: {error}{hint}") from error
    if not hasattr(first, "mode"):
        raise InvalidInput(f"torchvision's {name} holds no pictures but {type(first).__name__}")
    is_grey = has_no_colours(first)

    def each() -> Iterator[Picture]:
        return (as_array(dataset[place][0], is_grey=is_grey) for place in range(n))

    return Pictures(n, each, _targets(dataset, target))


def _options(name: str, kind: Any, split: str) -> dict[str, Any]:  # noqa: ANN401
    parameters = inspect.signature(kind).parameters
    options: dict[str, Any] = {"download": True} if "download" in parameters else {}
    if not split:
        return options
    if "split" in parameters:
        return {**options, "split": split}
    if "train" in parameters and split in ("train", "test"):
        return {**options, "train": split == "train"}
    allowed = "train or test" if "train" in parameters else "none"
    raise InvalidInput(f"torchvision's {name} has no split {split!r}; allowed: {allowed}")


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
    words: list[Value] = list(getattr(dataset, "classes", ()))
    named = words if len(words) > max(numbers) else range(max(numbers) + 1)
    # STL10 gives pictures without a label the class -1
    return {"class": [named[number] if number >= 0 else math.nan for number in numbers]}
