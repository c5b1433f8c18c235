"""Folders that become no home, and what is left of them."""

import os
import stat
from pathlib import Path

import pytest

from service.embedded.errors import EmbeddedError
from service.embedded.postgres import Postgres

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another user")


def test_a_folder_that_others_use_is_not_closed_to_them(home: Path) -> None:
    # POLAR_HOME=/data/lab shut the lab out of its own data.
    home.chmod(0o775)
    (home / "results.csv").touch()

    with pytest.raises(EmbeddedError, match=r"is no home of Polar and holds results\.csv"):
        Postgres(home).start()

    assert stat.S_IMODE(home.stat().st_mode) == 0o775
    assert [path.name for path in home.iterdir()] == ["results.csv"]


def test_a_folder_of_all_users_is_no_home(home: Path) -> None:
    home.chmod(0o1777)

    with pytest.raises(EmbeddedError, match="is a folder of all users"):
        Postgres(home).start()

    assert stat.S_IMODE(home.stat().st_mode) == 0o1777


@root_only
def test_a_folder_of_another_user_becomes_no_home(home: Path) -> None:
    os.chown(home, 65534, -1)

    with pytest.raises(EmbeddedError, match="belongs to the user with the number 65534"):
        Postgres(home).start()

    assert [path.name for path in home.iterdir() if path.name != "log"] == []
