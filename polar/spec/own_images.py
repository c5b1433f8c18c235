"""Images of a user's own: what is known of those that `polar data add` has added.

A spec names added images, and is resolved with what is known of them, so that a run needs nothing
but the spec and the images.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import PydanticCustomError

from polar.errors import DatasetError
from polar.folders import data_dir
from polar.spec.faults import nearest, shortened
from polar.spec.fields import FEWEST_IMAGES, Digest, Integer, SpecPart
from polar.spec.misfit import misfit

#: Folder of added images below the folder of datasets; each has a folder of its own there.
ADDED = "own"
#: What is known of them, the images, and the values of their factors.
ABOUT_FILE, IMAGES_FILE, FACTORS_FILE = "about.json", "images.npy", "factors.npy"
#: Every convolution halves the side, and there are five.
SIDES = range(32, 257, 32)
#: Most values of a factor, and most characters of its name.
MOST_VALUES, LONGEST_NAME = 1000, 100

AddedName = Annotated[
    str, Field(strict=True, max_length=64, pattern=r"^[a-z0-9][a-z0-9_-]*$", min_length=1)
]
OwnSide = Annotated[int, Field(strict=True, ge=SIDES[0], le=SIDES[-1], multiple_of=SIDES.step)]
Channels = Literal[1, 3]
#: The name of each factor, and the number of its values.
Factors = dict[
    Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_NAME)],
    Annotated[int, Field(strict=True, ge=1, le=MOST_VALUES)],
]


class AddedImages(SpecPart):
    """What is known of added images without reading them."""

    #: SHA-256 (hex) of the images and of their factors' values.
    digest: Digest
    side: OwnSide
    #: 1 for grey images, 3 for colours.
    channels: Channels
    factors: Factors
    images: Integer = Field(ge=FEWEST_IMAGES)
    #: A remark that results must carry; empty where there is nothing to remark.
    note: str = ""


def folder_of(name: str, given: Path | None = None) -> Path:
    """The folder of the images that were added under a name.

    Args:
        name: Their name.
        given: As for `polar.folders.data_dir`.
    """
    return data_dir(given) / ADDED / name


def is_added(name: str, given: Path | None = None) -> bool:
    """Whether images were added to this machine under a name, damaged or not."""
    try:
        return (folder_of(name, given) / ABOUT_FILE).exists()
    except (OSError, ValueError, DatasetError):  # ValueError for a NUL in the name
        return False


def on_this_machine(given: Path | None = None) -> dict[str, AddedImages]:
    """The images that were added to this machine, by their name; damaged ones are left out.

    Args:
        given: As for `polar.folders.data_dir`.
    """
    found = {}
    with suppress(DatasetError, OSError):
        for about in sorted(data_dir(given).glob(f"{ADDED}/*/{ABOUT_FILE}")):
            with suppress(OSError, ValidationError):
                name = about.parent.name  # that of images that are being added begins with a dot
                # a pipe would keep its reader waiting for ever
                if about.is_file() and not name.startswith("."):
                    found[name] = AddedImages.model_validate_json(about.read_bytes())
    return found


#: Who knows added images while a spec is validated; the service asks its agents instead.
known_images: ContextVar[Callable[[], Mapping[str, AddedImages]]] = ContextVar(
    "known_images", default=on_this_machine
)


def with_what_is_known(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """A dataset of the user's own as it was written, completed by what is known of its images.

    Args:
        dataset: The part of a spec, not validated; one that is complete stays as it is.

    Raises:
        PydanticCustomError: nobody knows these images, or there are fewer than are asked for.
    """
    if "path" in dataset and "added" not in dataset:
        raise misfit(
            "not_added",
            "the images of a path are added first; the commands run, submit and study do it, and "
            "so does `polar data add PATH --name NAME`",
            "/dataset/path",
            shortened(dataset["path"]),
            "added: NAME in place of path",
        )
    if "added" not in dataset:
        raise misfit(
            "unnamed_images",
            "nothing says which images; all else is filled in from them",
            "/dataset",
            shortened(dict(dataset)),
            "path: FOLDER_OR_FILE, or added: NAME",
        )
    name = dataset.get("added")
    if not isinstance(name, str) or "digest" in dataset:
        return dataset
    known = known_images.get()()
    if name not in known:
        raise _unknown(name, known)
    about = known[name]
    wanted = dataset.get("images")
    if isinstance(wanted, int) and wanted > about.images:
        message = f"{name} has fewer images"
        raise misfit(
            "too_large", message, "/dataset/images", wanted, f"an integer to {about.images}"
        )
    return {**about.model_dump(exclude={"note"}), **dataset}


def _unknown(name: str, known: Mapping[str, AddedImages]) -> PydanticCustomError:
    message = "no images were added under this name; `polar data add PATH --name NAME` adds them"
    allowed = ", ".join(known) or "none yet"
    suggestion = nearest(name, known)
    return misfit("unknown_images", message, "/dataset/added", name, allowed, suggestion)
