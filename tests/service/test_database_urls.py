"""Addresses of databases: all clients read the same in them, and nobody shows a password."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from polar.errors import InvalidInput
from service.database_urls import libpq_url, sqlalchemy_url
from service.storage.migrate import upgrade

SECRET = "s3cr3t"
UNREADABLE = [
    "",
    "nonsense",
    f"u:{SECRET}@h/db",
    f"mysql://u:{SECRET}@h/db",
    f"postgresql+psycopg2://u:{SECRET}@h/db",
    f"postgresql://u:{SECRET}@h:port/db",
    f"postgresql://u:{SECRET}@h:99999/db",
    f"postgresql://u:{SECRET}@{SECRET}@h/db",
    f"postgresql://u:p@{SECRET}/x@h/db",
    f"postgresql://u:p@h?{SECRET}=1@h/db",
    f"postgresql://u:{SECRET}@h/db?{SECRET}=1",
    f"postgresql://u:{SECRET}@h1:1,h2:2/db",
    f"postgresql://u:{SECRET}@[::1/db",
]

texts = st.text(st.characters(exclude_categories=["C"], exclude_characters="\0"), min_size=1)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_usual_scheme_is_read(scheme: str) -> None:
    address = f" {scheme}://her:secret@db.example.org:6543/app?sslmode=require\n"

    assert libpq_url(address) == (
        "postgresql://her:secret@db.example.org:6543/app?sslmode=require"
    )
    assert sqlalchemy_url(address) == (
        "postgresql+psycopg://her:secret@db.example.org:6543/app?sslmode=require"
    )
    assert sqlalchemy_url(address, "optuna").endswith(":6543/optuna?sslmode=require")


@given(user=texts, password=texts, name=texts, option=texts)
def test_libpq_and_sqlalchemy_read_the_same(
    user: str, password: str, name: str, option: str
) -> None:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    address = f"postgresql://{login}@h:1/{quote(name, safe='')}?application_name={quote(option)}"

    libpq = conninfo_to_dict(libpq_url(address))
    alchemy = make_url(sqlalchemy_url(address))

    assert (libpq["user"], libpq["password"], libpq["dbname"]) == (user, password, name)
    assert (alchemy.username, alchemy.password, alchemy.database) == (user, password, name)
    assert libpq["application_name"] == alchemy.query["application_name"] == option


@pytest.mark.parametrize("password", ["a b", "a+b", "50%", "a#b", "a?b", "a/b", "a:b", "é", "{x}"])
def test_passwords_that_nobody_has_encoded_are_read_where_they_can_be(password: str) -> None:
    address = f"postgresql://her:{password}@h/app"

    assert conninfo_to_dict(libpq_url(address))["password"] == password
    assert make_url(sqlalchemy_url(address)).password == password


@pytest.mark.parametrize(
    "address",
    [
        "postgresql:///app?host=%2Frun%2Fpostgresql",
        "postgresql://her@[::1]:5432/app",
        "postgresql://localhost",
        "postgresql://her@db/app?options=-c%20statement_timeout%3D1s",
    ],
)
def test_sockets_addresses_of_version_6_and_options_stay_what_they_are(address: str) -> None:
    given, read = conninfo_to_dict(address), conninfo_to_dict(libpq_url(address))

    assert read == given
    assert libpq_url(sqlalchemy_url(address)) == libpq_url(address)


@pytest.mark.parametrize("address", UNREADABLE)
def test_what_cannot_be_read_is_refused_without_being_shown(address: str) -> None:
    with pytest.raises(InvalidInput, match="not the address of a PostgreSQL database") as refusal:
        libpq_url(address)

    assert SECRET not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    "module",
    ["service.storage.migrate", "service.api", "service.studies", "service.dashboard",
     "workers", "workers.tracking"],
)  # fmt: skip
def test_each_process_says_on_one_line_that_its_database_is_none(
    module: str, tmp_path: Path
) -> None:
    ours = {"POLAR_ARTIFACTS": str(tmp_path), "POLAR_MLFLOW_URL": ""}
    database = {"POLAR_DATABASE_URL": f"postgresql://her:{SECRET}@h:port/db"}

    done = subprocess.run(
        [sys.executable, "-m", module],
        env={**os.environ, **ours, **database},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "POLAR_DATABASE_URL: this is not the address" in done.stderr
    assert SECRET not in done.stderr + done.stdout


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg"])
def test_a_database_is_migrated_by_any_of_its_addresses(scheme: str, database_url: str) -> None:
    upgrade(database_url.replace("postgresql", scheme, 1))
