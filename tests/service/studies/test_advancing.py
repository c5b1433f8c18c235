"""What the broker needs before it begins."""

import pytest

from service.studies.advancing import read_settings_or_exit

APP, OPTUNA = "postgresql://polar_app:secret@h/app", "postgresql://polar_optuna:secret@h/optuna"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("POLAR_DATABASE_URL", APP)
    monkeypatch.setenv("POLAR_ARTIFACTS", "/tmp")
    monkeypatch.setenv("POLAR_MLFLOW_URL", "")
    return monkeypatch


def test_a_role_that_may_not_open_optunas_database_ends_the_broker_at_once(
    environment: pytest.MonkeyPatch,
) -> None:
    # It said every two seconds that the database was away.
    with pytest.raises(SystemExit, match="POLAR_OPTUNA_URL is not set, and polar_app") as raised:
        read_settings_or_exit()
    environment.setenv("POLAR_OPTUNA_URL", OPTUNA)
    named = read_settings_or_exit()
    environment.delenv("POLAR_OPTUNA_URL")
    environment.setenv("POLAR_DATABASE_URL", "postgresql://mine:secret@h/app")
    shared = read_settings_or_exit()

    assert "secret" not in str(raised.value)
    assert named.optuna_sqlalchemy_url == OPTUNA.replace("sql:", "sql+psycopg:")
    assert shared.optuna_sqlalchemy_url == "postgresql+psycopg://mine:secret@h/optuna"
