"""A training of somebody else's is measured as ours are."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

import polar
from polar.errors import InvalidInput
from polar.figures import save_figures
from polar.records.latents import Label, Regime

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(100, 4))


def codes_at(step: int) -> np.ndarray:
    """Latents 0 and 1 wake up at step 10; the others never do."""
    return NOISE * np.array([1.0, 1.0, 0.01, 0.01] if step >= 10 else [0.01] * 4)


def variances_at(step: int) -> np.ndarray:
    return np.tile([0.1, 0.1, 1.0, 1.0] if step >= 10 else [1.0] * 4, (100, 1))


@pytest.fixture
def watched() -> polar.Watch:
    watch = polar.Watch()
    for step in (1, 5, 10, 20):
        watch.record(step, torch.from_numpy(codes_at(step)), variances_at(step), epoch=step / 10)
    return watch


def test_what_was_recorded_is_the_table_of_a_run(watched: polar.Watch) -> None:
    table = watched.table

    assert table["step"].unique().tolist() == [1, 5, 10, 20]
    assert table.groupby("step")["label"].agg(
        lambda labels: (labels == "active").sum()
    ).tolist() == [
        0,
        0,
        2,
        2,
    ]
    report = polar.measure(codes_at(20), variances_at(20))
    last = table[table["step"] == 20]
    entropies = [latent.judged_entropy_nats for latent in report.latents]
    assert last["judged_entropy_nats"].tolist() == pytest.approx(entropies, rel=1e-12)


def test_each_record_says_how_far_the_space_is() -> None:
    watch = polar.Watch()

    assert watch.record(1, codes_at(1), variances_at(1)).n_active == 0
    verdict = watch.record(10, codes_at(10), variances_at(10))
    assert (verdict.regime, verdict.n_active) == (Regime.POLARISED, 2)


def test_the_end_has_the_tables_and_figures_of_a_run(watched: polar.Watch, tmp_path: Path) -> None:
    usage = np.array([9.0, 8.0, 0.0, 0.0])

    measured = watched.finish(codes_at(20), variances_at(20), usage=usage, out=tmp_path / "out")

    assert [latent.label for latent in measured.latents] == [Label.ACTIVE] * 2 + [
        Label.PASSIVE
    ] * 2
    dynamics = pd.read_parquet(tmp_path / "out" / "dynamics.parquet")
    assert dynamics["activation_step"].tolist()[:2] == [10, 10]
    assert dynamics["activation_step"].isna().tolist() == [False, False, True, True]
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "out" / "diagnostics.parquet"), watched.table
    )
    pictures = {path.name for path in (tmp_path / "out" / "figures").glob("*.png")}
    assert {"sorted_entropies.png", "trajectories.png", "entropy_heatmap.png"} <= pictures


def test_a_folder_with_a_measurement_stays_as_it_is(watched: polar.Watch, tmp_path: Path) -> None:
    watched.finish(codes_at(20), variances_at(20), out=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    watched.record(30, codes_at(1), variances_at(1))

    with pytest.raises(InvalidInput, match="has a measurement already"):
        watched.finish(codes_at(1), variances_at(1), out=tmp_path)

    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert max(before, key=lambda path: path.stat().st_mtime_ns).name == "measurement.json"


def test_it_needs_neither_steps_nor_a_folder() -> None:
    measured = polar.Watch().finish(codes_at(20))

    assert measured.verdict.n_active == 2


@pytest.mark.parametrize("step", [20, 19, 0])
def test_steps_only_rise(watched: polar.Watch, step: int) -> None:
    with pytest.raises(InvalidInput, match=f"step {step}; allowed: above 20"):
        watched.record(step, codes_at(20))


def test_codes_that_cannot_be_measured_are_refused_and_not_kept(watched: polar.Watch) -> None:
    before = watched.table

    with pytest.raises(InvalidInput, match="codes of 3 latents; allowed: 4, as before"):
        watched.record(30, NOISE[:, :3])
    with pytest.raises(InvalidInput, match="codes of 4 images; allowed: at least 5"):
        watched.record(30, NOISE[:4])
    with pytest.raises(InvalidInput):
        watched.record(30, np.full((100, 4), np.nan))

    pd.testing.assert_frame_equal(watched.table, before)
    with pytest.raises(InvalidInput, match="0 evaluations"):
        polar.Watch().table  # noqa: B018


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # in MLflow itself
def test_an_active_run_of_mlflow_gets_the_names_of_our_runs(tmp_path: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.create_experiment("own", artifact_location=(tmp_path / "files").as_uri())
    mlflow.set_experiment("own")
    watch = polar.Watch()
    try:
        with mlflow.start_run() as run:
            for step in (5, 10):
                watch.record(
                    step, codes_at(step), variances_at(step), metrics={"train/loss": 1.0 / step}
                )
            watch.finish(codes_at(10), variances_at(10), out=tmp_path / "out")
        client = mlflow.MlflowClient()
        metrics = client.get_run(run.info.run_id).data
        history = client.get_metric_history(run.info.run_id, "latent/n_active")
        ranks = client.get_metric_history(run.info.run_id, "entropy/by_rank")
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
    finally:
        mlflow.set_tracking_uri("")

    assert [(point.step, point.value) for point in history] == [(5, 0.0), (10, 2.0)]
    assert metrics.metrics["train/loss"] == 0.1
    assert "eval/reconstruction_nats" not in metrics.metrics
    assert metrics.tags["polar.regime"] == "polarised"
    assert [point.step for point in ranks] == [1, 2, 3, 4]
    assert {"measurement.json", "diagnostics.parquet", "figures"} <= files


def test_without_an_active_run_nothing_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "log_metrics", lambda *_, **__: pytest.fail("it was logged"))

    polar.Watch().record(1, codes_at(1))


def test_the_figures_of_a_run_can_be_drawn_from_the_table(
    watched: polar.Watch, tmp_path: Path
) -> None:
    tau = watched.record(30, codes_at(30)).tau_nats

    assert save_figures({"diagnostics": watched.table}, tau, tmp_path)
