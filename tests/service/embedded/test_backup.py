import errno
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import psycopg
import pytest

from service.embedded.backup import _fail as _fail_to_read
from service.embedded.backup import back_up, restore
from service.embedded.errors import EmbeddedError
from service.embedded.postgres import Postgres
from service.embedded.state import identity


def value_in(home: Path) -> object:
    with Postgres(home) as server, psycopg.connect(server.url("postgres")) as connection:
        return connection.execute("SELECT value FROM kept").fetchone()


def change_in(home: Path, value: int) -> None:
    with Postgres(home) as server, psycopg.connect(server.url("postgres")) as connection:
        connection.execute("UPDATE kept SET value = %s", [value])


@pytest.fixture
def new_home(home: Path) -> Path:
    return home / "new"


def test_a_home_at_rest_is_restored_as_it_was(made_home: Path, new_home: Path) -> None:
    finished = made_home / "artifacts" / "runs" / "a" / "out" / "result.json"
    finished.parent.mkdir(parents=True)
    finished.write_text("{}")
    (finished.parent / ".b.part").write_text("half")
    backup = new_home.with_name("backup")

    back_up(made_home, backup)
    change_in(made_home, 43)
    made = restore(backup, new_home)

    assert value_in(new_home) == (42,)
    assert value_in(made_home) == (43,)
    assert made["home"] == str(made_home)
    assert identity(new_home) != identity(made_home)
    kept = [path.name for path in (new_home / "artifacts").rglob("*") if path.is_file()]
    assert kept == ["result.json"]


def test_a_backup_is_taken_while_the_server_is_used(made_home: Path, new_home: Path) -> None:
    backup = new_home.with_name("backup")

    with Postgres(made_home) as server, psycopg.connect(server.url("postgres")) as connection:
        connection.execute("UPDATE kept SET value = 7")
        connection.commit()
        connection.execute("UPDATE kept SET value = 8")  # not committed
        back_up(made_home, backup)
    restore(backup, new_home)

    assert value_in(new_home) == (7,)


def test_what_exists_is_not_replaced(made_home: Path, new_home: Path) -> None:
    backup = new_home.with_name("backup")
    back_up(made_home, backup)

    with pytest.raises(EmbeddedError, match=r"backup exists; allowed: the path of a new folder"):
        back_up(made_home, backup)
    with pytest.raises(EmbeddedError, match="is not empty; allowed: the path of a new home"):
        restore(backup, made_home)


def test_a_home_without_a_database_has_no_backup(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="has no database"):
        back_up(tmp_path / "nowhere", tmp_path / "backup")

    assert list(tmp_path.iterdir()) == []


def test_a_backup_that_fails_leaves_nothing(
    made_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.embedded.backup._copy_databases", _fail)
    before = set(made_home.iterdir())

    with pytest.raises(EmbeddedError, match=r"cannot be copied to .*: it is full"):
        back_up(made_home, made_home / "backup")

    assert set(made_home.iterdir()) - before <= {made_home / "lock"}


def _fail(_url: str, _into: Path) -> None:
    raise OSError("it is full")


def test_a_damaged_backup_is_refused(made_home: Path, new_home: Path) -> None:
    backup = new_home.with_name("backup")
    back_up(made_home, backup)
    largest = max((backup / "databases" / "base").rglob("*"), key=lambda path: path.stat().st_size)
    largest.write_bytes(b"\1" + largest.read_bytes()[1:])

    with pytest.raises(EmbeddedError, match=f"is damaged[^$]*{largest.name}"):
        restore(backup, new_home)

    assert not new_home.exists()


@pytest.fixture
def without_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the copies of databases, which take seconds, where only files are looked at."""
    monkeypatch.setattr("service.embedded.backup._copy_databases", lambda _url, _into: None)
    monkeypatch.setattr("service.embedded.backup._server", lambda _home: nullcontext(""))


@pytest.mark.usefixtures("without_databases")
def test_nothing_of_the_files_is_left_out_without_a_word(made_home: Path, tmp_path: Path) -> None:
    # A folder on another disk was left out, as was one that could not be read.
    elsewhere, runs = tmp_path / "disk", made_home / "artifacts" / "runs"
    (elsewhere / "a").mkdir(parents=True)
    (elsewhere / "a" / "result.json").write_text("{}")
    runs.parent.mkdir(exist_ok=True)
    runs.symlink_to(elsewhere)
    (made_home / "artifacts" / "measurements" / "7.part").mkdir(parents=True)
    (made_home / "artifacts" / "measurements" / "7.part" / "half.csv").write_text("")

    back_up(made_home, tmp_path / "first")
    (elsewhere / "a" / "gone.pt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(EmbeddedError, match=r"gone.pt leads to .*nowhere, which does not exist"):
        back_up(made_home, tmp_path / "second")
    (elsewhere / "a" / "gone.pt").unlink()
    (elsewhere / "a" / "loop").symlink_to(elsewhere)
    with pytest.raises(EmbeddedError, match="loop leads back to a folder in which it is"):
        back_up(made_home, tmp_path / "second")

    kept = [path for path in (tmp_path / "first" / "artifacts").rglob("*") if path.is_file()]
    assert kept == [tmp_path / "first" / "artifacts" / "runs" / "a" / "result.json"]
    assert not (tmp_path / "second").exists()


def test_a_folder_that_cannot_be_read_ends_a_backup() -> None:
    with pytest.raises(PermissionError):
        _fail_to_read(PermissionError(13, "Permission denied", "artifacts"))
    _fail_to_read(FileNotFoundError(2, "No such file or directory", "artifacts"))


@pytest.mark.usefixtures("without_databases")
@pytest.mark.parametrize("name", ["artifacts/x", "mlflow/a/b", "postgres/x"])
def test_no_backup_is_made_within_what_is_copied(made_home: Path, name: str) -> None:
    # It was copied into itself until the disk was full.
    with pytest.raises(EmbeddedError, match="which is copied; choose another folder"):
        back_up(made_home, made_home / name)


def test_files_that_a_backup_has_lost_are_noticed(made_home: Path, new_home: Path) -> None:
    table = made_home / "artifacts" / "table.csv"
    table.parent.mkdir(exist_ok=True)
    table.write_text("a,b")
    backup = new_home.with_name("backup")
    back_up(made_home, backup)
    (backup / "artifacts" / "table.csv").write_text("a")

    with pytest.raises(EmbeddedError, match=r"it has .*1 files of 1 bytes.* had .*of 3 bytes"):
        restore(backup, new_home)

    assert not new_home.exists()


@pytest.fixture
def small_backup(made_home: Path, tmp_path: Path) -> Path:
    """A backup without databases, which is looked at before they are."""
    (made_home / "artifacts" / "runs").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.embedded.backup._copy_databases", lambda _url, into: into.mkdir())
        patch.setattr("service.embedded.backup._server", lambda _home: nullcontext(""))
        back_up(made_home, tmp_path / "backup")
    return tmp_path / "backup"


def link_to_file(at: Path, secret: Path) -> None:
    at.symlink_to(secret)


def link_to_folder(at: Path, secret: Path) -> None:
    at.symlink_to(secret.parent)


def link_to_nothing(at: Path, secret: Path) -> None:
    at.symlink_to(secret.with_name("nothing"))


def pipe(at: Path, _secret: Path) -> None:
    os.mkfifo(at)


def socket_(at: Path, _secret: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(at))


@pytest.mark.parametrize("plant", [link_to_file, link_to_folder, link_to_nothing, pipe, socket_])
@pytest.mark.parametrize("place", ["artifacts/runs/a", "mlflow/a", "databases/base", "a"])
def test_a_backup_that_leads_elsewhere_is_refused(
    small_backup: Path, new_home: Path, place: str, plant: Callable[[Path, Path], None]
) -> None:
    # What links led to was copied: any file that the user may read, whom somebody gave a backup.
    secret = small_backup.with_name("secrets") / "key"
    secret.parent.mkdir()
    secret.write_text("the secret")
    (small_backup / place).parent.mkdir(exist_ok=True)
    plant(small_backup / place, secret)

    with pytest.raises(EmbeddedError, match=f"{place}' is no file and no folder; allowed: "):
        restore(small_backup, new_home)

    assert not new_home.exists()


def test_a_full_disk_is_said_in_a_line_and_left_as_it_was(
    small_backup: Path, new_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The message named every file that could not be copied, and half of them filled the disk.
    (small_backup / "databases").rmdir()
    (small_backup / "databases" / "base").mkdir(parents=True)
    for number in range(100):
        (small_backup / "databases" / "base" / str(number)).write_text("rows")
    monkeypatch.setattr("service.embedded.backup._run", lambda *_, **__: None)
    monkeypatch.setattr("shutil.copystat", lambda *_, **__: None)
    monkeypatch.setattr("shutil.copyfile", full)

    for _ in range(2):  # what is left is not taken for a home that is not empty
        with pytest.raises(EmbeddedError, match=r"No space left .*, and so 99 others$") as error:
            restore(small_backup, new_home)

        assert len(str(error.value)) < 600
        assert list(new_home.iterdir()) == []


def full(_source: object, target: str, **_: object) -> None:
    Path(target).write_text("")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)


@pytest.mark.parametrize("name", ["database.json", "artifacts"])
def test_a_backup_whose_own_parts_are_links_is_refused(
    small_backup: Path, new_home: Path, name: str, tmp_path: Path
) -> None:
    (small_backup / name).rename(tmp_path / "elsewhere")
    (small_backup / name).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(EmbeddedError, match="is no file and no folder"):
        restore(small_backup, new_home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders of others")
def test_nothing_is_restored_to_where_others_would_read_it(
    small_backup: Path, new_home: Path
) -> None:
    new_home.mkdir(mode=0o777)
    os.chown(new_home, 12345, 12345)

    with pytest.raises(EmbeddedError, match="belongs to the user with the number 12345"):
        restore(small_backup, new_home)

    assert list(new_home.iterdir()) == []


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), EmbeddedError("it does not start")])
def test_a_home_whose_tokens_were_not_revoked_does_not_start(
    made_home: Path, new_home: Path, fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = new_home.with_name("backup")
    back_up(made_home, backup)

    def fail(home: Path) -> None:
        assert (home / "database.json").exists()
        raise fault

    monkeypatch.setattr("service.embedded.backup._revoke_tokens", fail)
    with pytest.raises(type(fault)):
        restore(backup, new_home)

    assert not (new_home / "database.json").exists()


def test_no_token_of_a_backup_can_be_used(made_home: Path, new_home: Path) -> None:
    # A token that was revoked after the backup would be valid again.
    with Postgres(made_home) as server, psycopg.connect(server.url("app")) as connection:
        connection.execute(
            "INSERT INTO app.tokens (id, name, digest, kind, scope, expires_at) "
            "VALUES (gen_random_uuid(), 'ci', 'x', 'bearer', 'admin', now() + interval '1 day')"
        )
    backup = new_home.with_name("backup")
    back_up(made_home, backup)

    restore(backup, new_home)

    with Postgres(new_home) as server, psycopg.connect(server.url("app")) as connection:
        rows = connection.execute("SELECT name, revoked_at <= now() FROM app.tokens").fetchall()
    assert rows == [("ci", True)]


@pytest.mark.parametrize("manifest", [None, "{}", '{"version": 3}'])
def test_another_folder_is_no_backup(tmp_path: Path, manifest: str | None) -> None:
    if manifest:
        (tmp_path / "backup.json").write_text(manifest)
    with pytest.raises(EmbeddedError, match="is no backup"):
        restore(tmp_path, tmp_path / "home")


def test_a_copied_home_does_not_write_into_the_database_of_the_other(
    made_home: Path, tmp_path: Path
) -> None:
    identity(made_home)
    elsewhere, copy = tmp_path / "data", tmp_path / "copy"
    shutil.move((made_home / "postgres").resolve(), elsewhere)
    (made_home / "postgres").symlink_to(elsewhere)
    shutil.copytree(made_home, copy, symlinks=True)

    with pytest.raises(EmbeddedError, match=f"{copy} is a copy of {made_home}"), Postgres(copy):
        pass


def test_a_home_that_was_moved_keeps_its_database(made_home: Path, tmp_path: Path) -> None:
    identity(made_home)
    shutil.move(made_home, tmp_path / "moved")
    tmp_path.joinpath("moved").rename(made_home.with_name(f"{made_home.name}-moved"))
    moved = made_home.with_name(f"{made_home.name}-moved")
    try:
        assert value_in(moved) == (42,)
    finally:
        moved.rename(made_home)
