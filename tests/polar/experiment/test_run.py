import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from polar.data import catalogue
from polar.errors import CheckpointUnusable, DatasetError, DatasetMissing, InvalidInput
from polar.experiment.run import run
from polar.records.events import (
    ArtifactSaved,
    CheckpointSaved,
    Evaluation,
    Event,
    Progress,
    Result,
    Started,
    from_line,
    to_line,
)
from polar.spec import SCIENCE_VERSION, ExperimentSpec

TABLES = [
    "diagnostics",
    "latents",
    "labels",
    "thresholds",
    "agreement",
    "mixed",
    "usage_scores",
    "usage",
    "dynamics",
    "representations",
    "estimators",
    "information",
    "diagram",
    "learning_order",
    "reconstructions",
    "traversals",
    "prior_samples",
]
#: Written just before `result.json`.
LAST_FIGURE = "figures/prior_samples.csv"
EVALUATED = [1, 2, 4, 8, 16, 20]
#: With the numbers beside them; others need an active latent, or a task.
FIGURES = [
    "sorted_entropies",
    "entropy_over_training",
    "entropy_heatmap",
    "trajectories",
    "information_split",
    "information_diagram",
    "usage_against_entropy",
    "criteria_agreement",
    "thresholds",
    "entropy_against_variance",
    "representations",
    "reconstructions",
    "traversals",
    "prior_samples",
]


def spec(**changes: Any) -> ExperimentSpec:  # noqa: ANN401
    content = {
        "name": "tiny",
        "dataset": {"name": "digits", "images": 60},
        "model": {"beta": 0.5, "latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
        "training": {"steps": 20, "batch_size": 20, "checkpoint_every": 8, "held_out": 0},
        "diagnostics": {"images": 50},
    }
    return ExperimentSpec.model_validate(content | changes)


def of(kind: type[Event], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def stop_after(steps: int) -> Callable[[], bool]:
    """Asked before every step, this lets so many of them pass."""
    asked = itertools.count()
    return lambda: next(asked) >= steps


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def events(folder: Path) -> list[Event]:
    """All events of a whole run that writes into the folder."""
    return list(run(spec(), out=folder / "out", checkpoints=folder / "checkpoints"))


def test_a_run_tells_its_story_in_order(events: list[Event]) -> None:
    kinds = [type(event).__name__ for event in events]

    assert kinds[0] == "Started"
    assert kinds[-1] == "Result"
    assert kinds[-6:-1] == ["ArtifactSaved"] * 5
    assert [event.step for event in of(Evaluation, events)] == EVALUATED
    assert [event.step for event in of(CheckpointSaved, events)] == [8, 16, 20]
    assert of(Progress, events)[-1].step == 20


def test_the_start_names_what_is_trained_on_what(events: list[Event]) -> None:
    started = events[0]

    assert isinstance(started, Started)
    assert (started.step, started.steps, started.device) == (0, 20, "cpu")
    assert (started.images, started.images_evaluated) == (60, 50)
    assert started.dataset_digest == catalogue.digest("digits")
    # Encoder 1 -> 4, four times 4 -> 4, two heads 4 -> 3; decoder 3 -> 4 and the mirror.
    assert started.parameters == (68 + 4 * 260 + 2 * 15) + (16 + 4 * 260 + 65)


def test_the_result_sums_up_the_last_evaluation(events: list[Event]) -> None:
    result = events[-1]

    assert isinstance(result, Result)
    assert result.final == of(Evaluation, events)[-1]
    assert result.spec_hash == spec().content_hash()
    assert result.science_version == SCIENCE_VERSION
    assert (result.seed, result.steps, result.images, result.images_evaluated) == (0, 20, 60, 50)
    regime = result.final.verdict.regime.replace("_", "-")
    assert result.explanation.lower().startswith(regime)


def test_every_event_survives_the_pipe(events: list[Event]) -> None:
    assert [from_line(to_line(event)) for event in events] == events


def test_the_files_are_where_the_events_say(events: list[Event], folder: Path) -> None:
    artifacts = of(ArtifactSaved, events)

    names = [artifact.name for artifact in artifacts]
    assert {f"{table}.parquet" for table in TABLES} <= set(names)
    assert {f"figures/{figure}.png" for figure in FIGURES} <= set(names)
    assert names[-1] == "result.json"
    assert all(Path(artifact.path) == folder / "out" / artifact.name for artifact in artifacts)
    assert all(Path(artifact.path).stat().st_size > 0 for artifact in artifacts)
    written = {path for path in (folder / "out").rglob("*") if path.is_file()}
    assert written == {Path(artifact.path) for artifact in artifacts}


def test_the_table_holds_every_evaluation(events: list[Event], folder: Path) -> None:
    table = pd.read_parquet(folder / "out" / "diagnostics.parquet")

    entropies = [
        latent.entropy_nats
        for evaluation in of(Evaluation, events)
        for latent in evaluation.latents
    ]
    assert table["entropy_nats"].tolist() == entropies
    assert table["step"].tolist() == [s for s in EVALUATED for _ in range(3)]


def test_the_downstream_task_is_written_with_its_intervals(tmp_path: Path) -> None:
    asked = spec(dataset={"name": "digits", "images": 120}, downstream={"splits": 2})

    *_, result = run(asked, out=tmp_path)

    assert isinstance(result, Result)
    accuracies, gains, baselines = (
        pd.read_parquet(tmp_path / f"downstream{name}.parquet")
        for name in ("", "_gains", "_baselines")
    )
    assert set(accuracies["seed"]) == {0, 1}
    assert (tmp_path / "figures" / "accuracy_against_k.png").exists()
    assert baselines["factor"].tolist() == ["digit"]
    assert baselines["majority"].between(0, 1).all()
    has_passives = result.final.verdict.n_passive > 0
    assert set(gains["factor"]) == ({"digit", "mean"} if has_passives else set())
    assert (gains["low"] <= gains["mean"]).all()
    assert (gains["mean"] <= gains["high"]).all()


def test_result_json_is_the_result_with_spec_and_timing(events: list[Event], folder: Path) -> None:
    content = json.loads((folder / "out" / "result.json").read_text())

    timing, stored_spec = content.pop("timing"), content.pop("spec")
    assert Result.model_validate(content) == events[-1]
    assert ExperimentSpec.model_validate(stored_spec) == spec()
    assert timing["steps"] == 20
    assert timing["seconds"] > 0


def test_without_folders_nothing_is_written(
    events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    silent = list(run(spec()))

    assert os.listdir(tmp_path) == []
    assert silent[-1] == events[-1]


@pytest.mark.usefixtures("unrendered")
def test_a_stopped_run_ends_without_a_result_and_goes_on_to_the_same_one(
    events: list[Event], tmp_path: Path
) -> None:
    checkpoints, out = tmp_path / "checkpoints", tmp_path / "out"

    parts = [
        list(
            run(
                spec(),
                out=out,
                checkpoints=checkpoints,
                resume_from=checkpoints,
                stop=stop_after(steps),
            )
        )
        for steps in (3, 13, 1000)
    ]

    assert [part[0].step for part in parts if isinstance(part[0], Started)] == [0, 3, 16]
    assert [len(of(Result, part)) for part in parts] == [0, 0, 1]
    assert of(Evaluation, parts[-1]) == of(Evaluation, events)
    assert parts[-1][-1] == events[-1]
    table = Path(of(ArtifactSaved, events)[0].path).read_bytes()
    assert (out / "diagnostics.parquet").read_bytes() == table


def test_a_stopped_run_leaves_no_result_file(tmp_path: Path) -> None:
    stream = run(spec(), out=tmp_path, checkpoints=tmp_path / "checkpoints", stop=lambda: True)

    events = list(stream)

    assert [type(event) for event in events] == [Started, CheckpointSaved]
    assert sorted(os.listdir(tmp_path)) == ["checkpoints"]


def test_a_resumed_run_tells_its_earlier_evaluations_again(
    events: list[Event], folder: Path
) -> None:
    resumed = list(run(spec(), resume_from=folder / "checkpoints" / "step-00000016.pt"))

    assert isinstance(resumed[0], Started)
    assert resumed[0].step == 16
    assert of(Evaluation, resumed) == of(Evaluation, events)
    assert resumed[-1] == events[-1]


@pytest.mark.usefixtures("unrendered")
def test_a_run_that_was_killed_while_drawing_only_draws_again(
    events: list[Event], folder: Path, tmp_path: Path
) -> None:
    resumed = list(run(spec(), out=tmp_path, resume_from=folder / "checkpoints"))

    assert of(Progress, resumed) == []
    saved = [[each.name for each in of(ArtifactSaved, stream)] for stream in (resumed, events)]
    assert saved[0] == saved[1]
    assert resumed[-1] == events[-1]


@pytest.mark.usefixtures("unrendered")
def test_a_run_that_is_given_up_before_result_json_has_none(tmp_path: Path) -> None:
    for event in run(spec(), out=tmp_path):
        if isinstance(event, ArtifactSaved) and event.name == LAST_FIGURE:
            break

    assert (tmp_path / LAST_FIGURE).exists()
    assert not (tmp_path / "result.json").exists()


def test_seeds_give_different_numbers_and_a_named_seed_is_its_own_run(
    events: list[Event],
) -> None:
    several = spec(seeds=[0, 1])

    first, second = (list(run(several, seed=seed))[-1] for seed in (0, 1))

    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert first == events[-1]
    assert second.seed == 1
    assert second.final != first.final


def test_the_global_generator_plays_no_part(events: list[Event]) -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()

    again = list(run(spec()))

    assert again[-1] == events[-1]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"the spec has the seeds \[0, 1\] and none was named; allowed: one of them"),
        ({"seed": -1}, "seed is -1; allowed: 0 to 4294967295"),
        ({"seed": 2**32}, "seed is 4294967296; allowed: 0 to 4294967295"),
        ({"seed": 0, "device": "tpu"}, "device is 'tpu'; allowed: auto, cpu, cuda, cuda:N"),
        ({"seed": 0, "device": "cuda:x"}, "device is 'cuda:x'; allowed"),
        ({"seed": 0, "device": "cuda:99"}, "device 'cuda:99' is not here: this"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        next(run(spec(seeds=[0, 1]), **options))


def test_the_spec_decides_the_device_unless_the_caller_does() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")

    with pytest.raises(InvalidInput, match="device 'cuda' is not here: this machine has 0 GPUs"):
        next(run(spec(device="cuda")))
    started = next(run(spec(device="cuda"), device="cpu"))
    assert isinstance(started, Started)
    assert started.device == "cpu"


def test_another_dataset_than_expected_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"digits has digest [0-9a-f]{64}; expected 1234"):
        next(run(spec(), expected_digest="1234"))


def test_the_expected_dataset_is_taken() -> None:
    started = next(run(spec(), expected_digest=catalogue.digest("digits")))

    assert isinstance(started, Started)


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="train-images-idx3-ubyte"):
        next(run(spec(dataset={"name": "mnist"}), data_dir=tmp_path))


def test_a_checkpoint_of_another_seed_is_refused(folder: Path, events: list[Event]) -> None:
    assert events

    with pytest.raises(CheckpointUnusable, match="course"):
        next(run(spec(), seed=1, resume_from=folder / "checkpoints"))
