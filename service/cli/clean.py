"""`polar clean`: files of runs, and rows of the queue, that nobody needs any more.

It asks the database itself, as `polar doctor` does, and looks at the artifact folder of this
machine, which all machines share.

Files that no row knows may be another service's, or younger than the backup from which the
database was restored: they stay unless --unknown is said, and those of the last day even then.

Exit codes: FAILED when files cannot be read or removed or the database does not answer, REFUSED
when it is not known where they are, or the files seem to be another database's.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from polar.errors import InvalidInput
from service.cli.output import Format, Output, fail, say, show
from service.cli.own_settings import Home, address_of, settings_of
from service.exit_codes import FAILED, REFUSED
from service.homes import DEFAULT_HOME
from service.settings import Settings
from service.storage import cleaning
from service.storage.cleaning import RUNS, Needless, RunFiles

if TYPE_CHECKING:
    from rich.console import RenderableType

    from service.storage.database import Database

Yes = Annotated[bool, typer.Option("--yes", help="Remove; without this nothing is removed.")]
Unknown = Annotated[
    bool,
    typer.Option(
        "--unknown",
        help="Also files of runs that no row knows: only if no other service uses the folder.",
    ),
]
#: Runs that one question to the database is about.
BATCH = 1000
#: Seconds for which the files of a run that no row knows stay in any case, after the last change.
RECENT_S = 24 * 3600.0


@dataclass(frozen=True)
class File:
    """A file in the artifact folder."""

    bytes: int
    #: When it was last changed, in seconds since 1970.
    changed_at: float


@dataclass(frozen=True)
class Removable:
    """Files, or rows of the queue, that nobody needs for the same reason."""

    what: str
    count: int
    bytes: int


def clean(
    home: Home = DEFAULT_HOME,
    yes: Yes = False,
    unknown: Unknown = False,
    output: Output = Format.TABLE,
) -> None:
    """Say how many files and rows nobody needs any more, and remove them with --yes."""
    from procrastinate.exceptions import ConnectorException

    from service.storage.errors import DatabaseAway

    try:
        settings = settings_of(home)
        say(f"database {address_of(settings)}, and files below {settings.artifacts / RUNS}")
        removable, stuck = asyncio.run(_clean(settings, is_sure=yes, also_unknown=unknown))
    except InvalidInput as error:
        fail(error, REFUSED)
    except (DatabaseAway, ConnectorException, OSError) as error:
        fail(error, FAILED)
    if removable or output is Format.JSON:
        show(removable, _table, output)
    if not removable:
        say("there is nothing to remove")
    elif not yes:
        say("nothing was removed; say --yes to remove this")
    if stuck:
        fail(f"{len(stuck)} files stay: {stuck[0]}", FAILED)


async def _clean(
    settings: Settings, *, is_sure: bool, also_unknown: bool
) -> tuple[list[Removable], list[OSError]]:
    from service.storage.database import Database

    artifacts = settings.artifacts
    files = await asyncio.to_thread(_list, artifacts)
    database = Database(settings.sqlalchemy_url, connections=1, is_impatient=True)
    try:
        runs = await _runs_of(database, files)
        _refuse_anothers(files, runs, artifacts)
        jobs = await _old_jobs(database, settings, is_sure=is_sure)
    finally:
        await database.close()
    by_reason: dict[str, list[PurePosixPath]] = defaultdict(list)
    for path, why in cleaning.needless(files, runs).items():
        by_reason[why].append(path)
    unknown = _without_recent(by_reason.pop(Needless.NO_RUN, []), files)
    if unknown and also_unknown:
        by_reason[Needless.NO_RUN] = unknown
    elif unknown:
        _say_what_stays(_removable(Needless.NO_RUN, unknown, files))
    removable = [_removable(why, paths, files) for why, paths in sorted(by_reason.items())]
    removable += [Removable("jobs that ended long ago", jobs, 0)] if jobs else []
    stuck = []
    if is_sure:
        paths = [path for paths in by_reason.values() for path in paths]
        stuck = await asyncio.to_thread(_remove, artifacts, paths)
    return removable, stuck


def _removable(
    why: str, paths: Sequence[PurePosixPath], files: Mapping[PurePosixPath, File]
) -> Removable:
    return Removable(why, len(paths), sum(files[path].bytes for path in paths))


def _without_recent(
    unknown: Sequence[PurePosixPath], files: Mapping[PurePosixPath, File]
) -> list[PurePosixPath]:
    """Those of the files that no row knows whose run has changed no file lately."""
    now = time.time()
    recent = {cleaning.run_of(path) for path in unknown if now - files[path].changed_at < RECENT_S}
    stay = [path for path in unknown if cleaning.run_of(path) in recent]
    if stay:
        says = "files of runs that no row knows stay: these runs changed files within a day"
        say(f"{len(stay):,} {says}")
    return [path for path in unknown if cleaning.run_of(path) not in recent]


def _say_what_stays(unknown: Removable) -> None:
    say(
        f"{unknown.count:,} {unknown.what} stay ({unknown.bytes / 1024**2:.1f} MiB)",
        "they may be another service's, or newer than a backup of the database; if they are not, "
        "say --unknown",
    )


def _list(artifacts: Path) -> dict[PurePosixPath, File]:
    """The files of runs, by their paths below the artifact folder.

    Raises:
        InvalidInput: there is no such folder.
        OSError: a folder cannot be read.
    """
    if not artifacts.is_dir():
        raise InvalidInput(
            f"the artifact folder {artifacts} is no folder of this machine; mount it, or correct "
            "POLAR_ARTIFACTS"
        )
    files = {}
    for folder, _, names in os.walk(artifacts / RUNS, onerror=_raise_unless_gone):
        for name in names:
            path = Path(folder, name)
            try:
                seen = path.lstat()
            except FileNotFoundError:  # it was removed meanwhile, as checkpoints are
                continue
            place = PurePosixPath(path.relative_to(artifacts))
            files[place] = File(seen.st_size, seen.st_mtime)
    return files


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


async def _runs_of(
    database: "Database", files: Mapping[PurePosixPath, File]
) -> dict[UUID, RunFiles]:
    ids = sorted({id for path in files if (id := cleaning.run_of(path))})
    runs: dict[UUID, RunFiles] = {}
    for place in range(0, len(ids), BATCH):
        async with database.transaction() as session:
            runs |= await cleaning.files_of(session, ids[place : place + BATCH])
    return runs


async def _old_jobs(database: "Database", settings: Settings, *, is_sure: bool) -> int:
    from service import queue

    async with database.transaction() as session:
        jobs = await queue.count_finished_jobs(session)
    if jobs and is_sure:
        async with queue.queue_app(settings).open_async() as app:
            await queue.remove_finished_jobs(app)
    return jobs


def _refuse_anothers(
    files: Mapping[PurePosixPath, File], runs: Mapping[UUID, RunFiles], artifacts: Path
) -> None:
    """Refuse a folder of which the database knows nothing: it may belong to another database.

    Raises:
        InvalidInput: the database knows no run of it.
    """
    if files and not runs:
        raise InvalidInput(
            f"the database knows none of the runs in {artifacts / RUNS}, which may be another's; "
            "remove it yourself if it is not"
        )


def _remove(artifacts: Path, paths: Sequence[PurePosixPath]) -> list[OSError]:
    """Remove files, and the folders that this leaves empty; returns why others stay."""
    stuck = []
    for path in paths:
        try:
            (artifacts / path).unlink(missing_ok=True)
            for folder in list(path.parents)[:-2]:  # up to the folder of the run
                (artifacts / folder).rmdir()
        except OSError as error:
            if (artifacts / path).is_symlink() or (artifacts / path).exists():
                stuck.append(error)
    return stuck


def _table(removable: Sequence[Removable]) -> "RenderableType":
    from service.cli.rows import Rows

    table = Rows("what", "number", "size")
    for each in removable:
        table.add(each.what, f"{each.count:,}", f"{each.bytes / 1024**2:.1f} MiB")
    total = sum(each.bytes for each in removable)
    table.add("all", f"{sum(each.count for each in removable):,}", f"{total / 1024**2:.1f} MiB")
    return table
