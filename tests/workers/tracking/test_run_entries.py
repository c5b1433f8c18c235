"""What MLflow is told of a run."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.records.latents import Flaw, Regime
from polar.spec import ExperimentSpec
from service.storage.states import RunState
from service.storage.tables import Artifact, Run
from workers.tracking import run_entries

if TYPE_CHECKING:
    from tests.conftest import Reports

DIGEST = "d" * 64
NOON = datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=UTC)


def spec_of(**fields: Any) -> ExperimentSpec:  # noqa: ANN401
    return ExperimentSpec.model_validate({"dataset": {"name": "digits"}, "model": {}, **fields})


def run_in_state(state: RunState, **fields: Any) -> Run:  # noqa: ANN401
    spec = spec_of()
    return Run(
        id=uuid4(),
        spec=spec.model_dump(mode="json"),
        seed=0,
        dataset_digest=DIGEST,
        state=state,
        attempt=1,
        **fields,
    )


@pytest.mark.parametrize(
    ("beta", "name"),
    [
        (0.5, "beta=0.5 seed 3 (my sweep)"),
        (10.0, "beta=10 seed 3 (my sweep)"),
        (1e-5, "beta=1e-05 seed 3 (my sweep)"),
        (0.0, "beta=0 seed 3 (my sweep)"),
    ],
)
def test_a_run_is_named_by_its_experiment_weight_and_seed(beta: float, name: str) -> None:
    spec = spec_of(model={"beta": beta})

    assert run_entries.experiment_name(spec) == "beta_vae-digits"
    assert run_entries.run_name(spec, seed=3) == name.replace("my sweep", "beta_vae-digits")
    named = spec.model_copy(update={"name": "my sweep"})
    assert run_entries.run_name(named, seed=3) == name


def test_the_parameters_are_the_whole_spec_with_dotted_names() -> None:
    spec = spec_of(name="a sweep", model={"beta": 0.001})

    assert run_entries.parameters(spec, seed=0) == {
        "name": "a sweep",
        "seed": "0",
        "seeds": "[0]",
        "device": "auto",
        "dataset.name": "digits",
        "dataset.images": "1797",
        "model.name": "beta_vae",
        "model.beta": "0.001",
        "model.latent_dim": "16",
        "model.widths": "[32, 32, 64, 64, 128]",
        "model.likelihood.name": "bernoulli",
        "training.steps": "3000",
        "training.batch_size": "64",
        "training.learning_rate": "0.001",
        "training.checkpoint_every": "500",
        "training.held_out": "0.2",
        "training.weight_warm_up": "none",
        "training.warm_start": "[]",
        "training.until": "steps",
        "training.precision": "float32",
        "diagnostics.evaluations_per_doubling": "2",
        "diagnostics.epochs": "none",
        "diagnostics.images": "10000",
        "diagnostics.sigma": "0.5",
        "diagnostics.renyi_alpha": "1.01",
        "diagnostics.ruler": "scaled",
        "diagnostics.tau_std": "0.134",
        "diagnostics.information_images": "1000",
        "downstream": "none",
    }


@given(epochs=st.lists(st.integers(1, 10**7), min_size=1, max_size=1000))
def test_no_parameter_is_longer_than_mlflow_takes(epochs: list[int]) -> None:
    one_batch_an_epoch = {"steps": 10**7, "batch_size": 1797, "held_out": 0}
    spec = spec_of(diagnostics={"epochs": epochs}, training=one_batch_an_epoch)

    told = run_entries.parameters(spec, seed=0)["diagnostics.epochs"]

    assert len(told) <= 6000
    assert told == json.dumps(epochs) or (told.endswith("…") and len(told) == 6000)


def test_a_weight_of_zero_has_no_logarithm() -> None:
    assert run_entries.weights(spec_of(model={"beta": 0.0})) == {"weight": 0.0}
    assert run_entries.weights(spec_of(model={"beta": 100.0})) == {
        "weight": 100.0,
        "weight_log10": 2.0,
    }


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (RunState.QUEUED, "SCHEDULED"),
        (RunState.RUNNING, "RUNNING"),
        (RunState.SUCCEEDED, "FINISHED"),
        (RunState.FAILED, "FAILED"),
        (RunState.CANCELLED, "KILLED"),
        (RunState.PRUNED, "KILLED"),
    ],
)
def test_every_state_has_a_status(state: RunState, status: str) -> None:
    assert run_entries.status(state) == status


@pytest.mark.parametrize(
    ("flaws", "settled", "words"),
    [
        ((), True, ("none", "yes")),
        ((Flaw.IDLE, Flaw.LEAK), False, ("idle, leak", "no")),
        ((), None, ("none", "unknown")),
    ],
)
def test_a_run_says_the_flaws_of_its_space_and_whether_it_has_settled(
    reports: "Reports", flaws: tuple[Flaw, ...], settled: bool | None, words: tuple[str, str]
) -> None:
    result = reports.result(spec_of())
    verdict = result.final.verdict.model_copy(
        update={"regime": Regime.FORMING if flaws else Regime.CLEAN, "flaws": flaws}
    )
    final = result.final.model_copy(update={"verdict": verdict})
    result = result.model_copy(update={"final": final, "settled": settled})
    run = run_in_state(RunState.SUCCEEDED, result=result.model_dump(mode="json"))

    told = run_entries.tags(run, spec_of())

    assert told["polar.regime"] == verdict.regime
    assert (told["polar.flaws"], told["polar.settled"]) == words


def test_a_long_message_ends_with_an_ellipsis() -> None:
    run = run_in_state(RunState.FAILED, status_reason="bug", status_message="x" * 10_000)

    note = run_entries.tags(run, spec_of())["mlflow.note.content"]

    assert note.startswith("**failed** (bug): xxx")
    assert len(note) == 5000
    assert note.endswith("x…")


def test_a_figure_has_the_names_of_a_logged_image_and_other_files_have_none() -> None:
    run_id = UUID(int=7)
    figure = Artifact(run_id=run_id, name="figures/sorted_entropies.png", at=NOON)
    table = Artifact(run_id=run_id, name="diagnostics.parquet", at=NOON)

    stem = f"images/figures~sorted_entropies+step+0+timestamp+1795348800123+{run_id}"
    assert run_entries.image_names(figure) == [f"{stem}.png", f"{stem}+compressed.png"]
    assert run_entries.image_names(table) == []


def test_a_tracker_without_its_settings_names_them_all() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workers.tracking"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    for name in ("POLAR_DATABASE_URL", "POLAR_ARTIFACTS", "POLAR_MLFLOW_URL"):
        assert f"{name} is not set" in done.stderr
