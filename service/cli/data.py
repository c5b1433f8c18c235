"""`polar data`: list, fetch and check the datasets of this machine, and add images to it.

Exit codes: FAILED when a dataset is missing or differs from the published one, REFUSED when there
is no such dataset or folder.
"""

import gzip
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, RootModel
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from polar.data import catalogue, download
from polar.data.places import GZIPPED, download_place
from polar.errors import DatasetError, DatasetMissing, InvalidInput
from polar.folders import DATA_DIR_VARIABLE
from polar.folders import data_dir as folder_of_datasets
from polar.spec.sources import SourceFile
from service.cli.output import Format, Output, console_on, fail, say, show, write, write_json
from service.cli.rows import Rows
from service.exit_codes import FAILED, REFUSED

app = typer.Typer(
    no_args_is_help=True, help="List, fetch and check the datasets of this machine; add your own."
)

Name = Annotated[str, typer.Argument(help="A name that `polar data list` shows.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar=DATA_DIR_VARIABLE,
        help="Folder of the datasets; by default ~/.cache/polar/data.",
    ),
]


class Here(BaseModel):
    """What this machine has of a dataset."""

    name: str
    #: `here`, `missing` or `broken`.
    state: str
    bytes: int | None = None
    digest: str | None = None
    #: The folder, or what is missing and how to fetch it, or what is broken.
    where: str


class Checked(BaseModel):
    """What the checksum of a file shows."""

    path: str
    #: `published`, `different`, `missing`, or `unpublished` if there is nothing to compare with.
    state: str
    checksum: str | None = None
    published: str | None = None


@app.command("list")
def list_datasets(data_dir: DataDir = None, output: Output = Format.TABLE) -> None:
    """List the datasets: whether each is here, its folder, and its digest."""
    _show([_look_at(name, data_dir) for name in catalogue.names(data_dir)], output)


@app.command()
def fetch(name: Name, data_dir: DataDir = None, output: Output = Format.TABLE) -> None:
    """Download a dataset, or continue its download, and check it."""
    with _errors_as_messages():
        fetch_with_bars(name, data_dir)
    _show([_look_at(name, data_dir)], output)


@app.command()
def add(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of PNG or JPEG files, a file .npy, .npz or .parquet, or "
            "torchvision:CLASS, such as torchvision:FashionMNIST or torchvision:EMNIST:letters."
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="What specs will call them; by default the file's name.")
    ] = None,
    side: Annotated[
        int | None, typer.Option(help="Scale the images to squares of this side, in pixels.")
    ] = None,
    factors: Annotated[
        Path | None, typer.Option(help="CSV file with what is known of each image.")
    ] = None,
    data_dir: DataDir = None,
    output: Output = Format.TABLE,
) -> None:
    """Add images of your own; specs name them as dataset: {name: images, added: NAME}."""
    with _errors_as_messages():
        from polar.data import own_images

        name, about = own_images.add_images(
            source, name, side=side, factors=factors, data_dir=data_dir
        )
    show({"name": name, **about.model_dump()}, _known, output)


@app.command()
def remove(name: Name, data_dir: DataDir = None) -> None:
    """Remove images that were added from this machine; results of runs stay."""
    with _errors_as_messages():
        from polar.data import own_images

        own_images.remove(name, data_dir)
    say(f"{name} is removed")


@app.command()
def verify(name: Name, data_dir: DataDir = None, output: Output = Format.TABLE) -> None:
    """Compare the checksums of a dataset's files with the published ones."""
    with _errors_as_messages():
        files = zip_longest(catalogue.files(name, data_dir), catalogue.downloads(name, data_dir))
        checked = [_check(name, path, file) for path, file in files]
    _show(checked, output)
    if any(file.state in ("missing", "different") for file in checked):
        raise typer.Exit(FAILED)


@app.command()
def path(name: Name, data_dir: DataDir = None, output: Output = Format.TABLE) -> None:
    """Print the folder in which a dataset is looked for."""
    with _errors_as_messages():
        files = catalogue.files(name, data_dir)
        if not files:
            raise InvalidInput(f"dataset {name} has no files: Polar draws it")
    folder = str(files[0].parent)
    if output is Format.JSON:
        write_json(RootModel(folder).model_dump_json())
    else:
        write(folder)


def fetch_with_bars(name: str, data_dir: Path | None) -> None:
    """Fetch a dataset, if it needs a download, and show how far the download is.

    Raises:
        InvalidInput: there is no such dataset.
        DatasetMissing: it could not be fetched or stored.
    """
    if not catalogue.downloads(name, data_dir):
        return
    with _bars() as progress:
        download.fetch(name, folder_of_datasets(data_dir), progress)


def _look_at(name: str, data_dir: Path | None) -> Here:
    try:
        files = catalogue.files(name, data_dir)
        digest = catalogue.digest(name, data_dir)
        size = sum(file.stat().st_size for file in files)
    except DatasetMissing as error:
        # The row names the dataset already, and `polar run` lists the other places.
        missing = str(error).partition(" (also ")[0].removeprefix(f"dataset {name}: there is ")
        hint = f"; polar data fetch {name}" if catalogue.downloads(name, data_dir) else ""
        return Here(name=name, state="missing", where=missing + hint)
    except (DatasetError, OSError) as error:
        return Here(name=name, state="broken", where=str(error))
    where = str(files[0].parent) if files else "drawn by Polar"
    return Here(name=name, state="here", bytes=size, digest=digest, where=where)


def _check(name: str, path: Path, file: SourceFile | None) -> Checked:
    """Compare a file with the published checksum, which may be that of its unpacked content."""
    as_published = file and (file.unpacked or download_place(file, path).name == path.name)
    published = (file.unpacked or file.checksum) if file and as_published else None
    is_inside = file is not None and file.unpacked and path.suffix == GZIPPED
    try:
        catalogue.refuse_special(name, path, path.stat())
        with gzip.open(path) if is_inside else path.open("rb") as content:
            checksum = download.checksum_like(published or "sha256", content)
    except (FileNotFoundError, NotADirectoryError):
        return Checked(path=str(path), state="missing", published=published)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"dataset {name}: cannot unpack {path}: {error}") from error
    except OSError as error:
        raise DatasetError(f"dataset {name}: cannot read {path}: {error.strerror}") from error
    same = "published" if checksum == published else "different"
    state = same if published else "unpublished"
    return Checked(path=str(path), state=state, checksum=checksum, published=published)


def _show(answer: Sequence[Here] | Sequence[Checked], output: Format) -> None:
    show([row.model_dump() for row in answer], _table, output)


def _known(added: Mapping[str, object]) -> Rows:
    """What is known of added images, a line for each fact."""
    table = Rows("fact", "value", texts=["value"])
    for fact, value in added.items():
        table.add(fact, str(value))
    return table


def _table(rows: Sequence[Mapping[str, object]]) -> Rows:
    table = Rows(*(rows[0] if rows else ()), texts=["where"])
    for row in rows:
        table.add(*("" if value is None else str(value) for value in row.values()))
    return table


@contextmanager
def _bars() -> Iterator[download.OnBytes]:
    """Yields a function that shows the download of each file as a bar on stderr."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = console_on(sys.stderr)
    is_seen = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not is_seen) as bars:
        tasks: dict[Path, TaskID] = {}

        def show(file: Path, there: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file.name)
            bars.update(tasks[file], completed=there, total=total)

        yield show


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    """On an error, end the command with one line and an exit code."""
    try:
        yield
    except InvalidInput as error:
        fail(error, REFUSED)
    except DatasetError as error:
        fail(error, FAILED)
