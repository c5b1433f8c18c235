"""The settings: what is wrong with them is said on one line, and without a password."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from polar.errors import InvalidInput
from service.settings import Settings


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLAR_DATABASE_URL", "postgresql://her:secret@h/app")
    monkeypatch.setenv("POLAR_ARTIFACTS", "/artifacts")
    monkeypatch.setenv("POLAR_MLFLOW_URL", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("POLAR_API_PORT", "0", "POLAR_API_PORT is '0'; allowed: an integer from 1 to 65535"),
        ("POLAR_API_FD", "2", "POLAR_API_FD is '2'; allowed: an integer at least 3, or null"),
        ("POLAR_LEASE_S", "soon", "POLAR_LEASE_S is 'soon'; allowed: a number above 0 and at"),
        ("POLAR_LEASE_S", "inf", "POLAR_LEASE_S is 'inf'; allowed: a number above 0 and at"),
        ("POLAR_GRACE_S", "1e300", "POLAR_GRACE_S is '1e300'; allowed: a number above 0 and at"),
        (
            "POLAR_KEEP_WEIGHTS_DAYS",
            "0",
            "POLAR_KEEP_WEIGHTS_DAYS is '0'; allowed: a number",
        ),
        ("POLAR_KEEP_WEIGHTS_DAYS", "nan", "POLAR_KEEP_WEIGHTS_DAYS is 'nan'; allowed: a number"),
        ("POLAR_KEEP_WEIGHTS_DAYS", "1e9", "POLAR_KEEP_WEIGHTS_DAYS is '1e9'; allowed: a number"),
        ("POLAR_LEASE_S", "10", "POLAR_LEASE_S is 10.0 while POLAR_RENEW_S is 5.0; allowed: a"),
        ("POLAR_API_ALLOW_REMOTE", "maybe", "POLAR_API_ALLOW_REMOTE is 'maybe'; allowed: true"),
        ("POLAR_MLFLOW_URL", "mlflow:5650", "POLAR_MLFLOW_URL: 'mlflow:5650' is not the address"),
        (
            "POLAR_MLFLOW_URL",
            "http://h:abc",
            "POLAR_MLFLOW_URL: 'http://h:abc' is not the address",
        ),
        ("POLAR_ARTIFACTS", "", "POLAR_ARTIFACTS: this is empty; allowed: the path of a folder"),
        ("POLAR_DASHBOARD_URL", "http://", "POLAR_DASHBOARD_URL: 'http://' is not the address"),
        ("POLAR_API_URL", "api:8650", "POLAR_API_URL: 'api:8650' is not the address"),
        ("POLAR_MLFLOW_TOKEN", "secret\n", "POLAR_MLFLOW_TOKEN: this is no bearer token"),
        ("POLAR_MLFLOW_TOKEN", "", "POLAR_MLFLOW_TOKEN: this is no bearer token; allowed: "),
        ("POLAR_DATABASE_URL", "mysql://u:secret@h/db", "POLAR_DATABASE_URL: this is not the"),
        ("POLAR_OPTUNA_URL", "postgresql://u:secret@h:x/db", "POLAR_OPTUNA_URL: this is not the"),
    ],
)
def test_a_wrong_setting_is_told_on_one_line(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidInput, match=re.escape(said)) as refusal:
        Settings.read()

    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)
    assert refusal.value.__context__ is None  # a traceback would show pydantic's error, too


def test_all_wrong_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLAR_ARTIFACTS")
    monkeypatch.setenv("POLAR_RENEW_S", "-1")

    with pytest.raises(InvalidInput, match=r"POLAR_ARTIFACTS is not set; .*POLAR_RENEW_S is '-1'"):
        Settings.read()


def test_what_is_known_is_not_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLAR_DATABASE_URL", "nonsense")

    settings = Settings.read(database_url="postgres://h/app")

    assert settings.database_url == SecretStr("postgresql://h/app")


def test_both_databases_are_understood_by_sqlalchemy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLAR_DATABASE_URL", "postgres://her:a b@h/app?sslmode=require")

    settings = Settings.read()

    assert settings.sqlalchemy_url == "postgresql+psycopg://her:a%20b@h/app?sslmode=require"
    assert settings.optuna_sqlalchemy_url.endswith("@h/optuna?sslmode=require")


def test_a_tilde_is_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    # No shell stands between a file of settings, as of systemd or Docker, and us.
    monkeypatch.setenv("HOME", "/home/her")
    monkeypatch.setenv("POLAR_ARTIFACTS", "~/artifacts #1?")

    assert Settings.read().artifacts == Path("/home/her/artifacts #1?")
