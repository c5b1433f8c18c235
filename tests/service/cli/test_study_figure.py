"""`polar study figure`; no broker is there, it is pretended."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pandas as pd
import pytest
from matplotlib.image import imread

if TYPE_CHECKING:
    from tests.service.cli.conftest import Polar, Write
    from tests.service.conftest import Trials, Worker

SPEC = """
base: {dataset: {name: digits}, model: {}, seeds: [0]}
search: {model.beta: {log_uniform: [1e-2, 100]}}
budget: {trials: 2}
"""
BAND = {
    "left": {"low": 0.1, "high": 1.0, "confidence": 0.9},
    "right": {"low": 1.0, "high": 10.0, "confidence": 0.9},
}
FOUND: dict[str, Any] = {
    "outcome": "coarse",
    "intervals": [BAND],
    "envelope": BAND,
    "settled": True,
    "weights": 3,
    "trainings": 3,
}


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


async def created(polar: "Polar", write: "Write") -> UUID:
    done = await polar("study", "create", write(SPEC))
    assert done.exit_code == 0, done.stderr
    return UUID(done.stdout.split()[1])


async def test_the_figure_of_a_study_is_a_file_with_its_numbers_beside_it(
    polar: "Polar", write: "Write", trials: "Trials", tmp_path: Path
) -> None:
    id = await created(polar, write)
    for beta, regime in ((0.1, "forming"), (1.0, "clean"), (10.0, "collapsed")):
        observation = {"regime": regime, "steps": 30, "n_active": 3, "settled": True}
        trial = await trials.begin(id, beta=beta)
        await trials.end(trial, 0.5, observations=[observation], polarisation=0.5, explained=0.25)
    await trials.begin(id, beta=2.0)
    await trials.end_study(id, **FOUND)
    out = tmp_path / "new" / "phase.png"

    done = await polar("study", "figure", id, "--out", out)
    drawn = await polar("figures", id, "--out", tmp_path / "all", "--format", "svg")

    numbers = pd.read_csv(out.with_suffix(".csv"))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split() == [str(out), str(out.with_suffix(".csv"))]
    assert imread(out).shape[2] == 4
    pictures = [Path(path) for path in drawn.stdout.split()]
    assert tmp_path / "all" / "phase_diagram.svg" in pictures
    assert all(picture.read_bytes().startswith(b"<?xml") for picture in pictures)
    assert f"drawing 1 of {len(pictures)}: {pictures[0].name}\n" in drawn.stderr
    assert numbers["regime"].dropna().tolist() == ["forming", "clean", "collapsed"]
    assert numbers["edge"].dropna().tolist() == ["left", "right"]
    assert numbers["low"].dropna().tolist() == [0.1, 1.0]


async def test_the_hysteresis_of_a_study_has_its_own_file_and_numbers(
    polar: "Polar", write: "Write", trials: "Trials", tmp_path: Path
) -> None:
    done = await polar("study", "create", write(f"{SPEC}range: {{held: true}}\n"))
    id = UUID(done.stdout.split()[1])
    start = {"training.warm_start.weight": 1.0}
    for beta, warm_start in ((1.0, {}), (20.0, start)):
        observation = {"regime": "clean", "steps": 30, "n_active": 3, "settled": True}
        point = {"seed": 0, "training.steps": 30, **warm_start}
        trial = await trials.begin(id, beta=beta, **point)
        await trials.end(trial, 0.5, observations=[observation], polarisation=0.5, explained=0.25)
    await trials.end_study(id, **FOUND, held=BAND)
    held, diagram = tmp_path / "held.svg", tmp_path / "phase.svg"

    drawn = await polar("study", "figure", id, "--name", "hysteresis", "--out", held)
    other = await polar("study", "figure", id, "--out", diagram)

    assert (drawn.exit_code, other.exit_code) == (0, 0), drawn.stderr + other.stderr
    assert drawn.stdout.split() == [str(held), str(held.with_suffix(".csv"))]
    numbers = pd.read_csv(held.with_suffix(".csv"))
    assert numbers["warm_start"].dropna().tolist() == [1.0]
    assert numbers["edge"].dropna().tolist()[-1] == "held right"
    assert pd.read_csv(diagram.with_suffix(".csv"))["weight"].dropna().tolist() == [1.0]


async def test_a_study_that_was_not_held_has_no_hysteresis(
    polar: "Polar", write: "Write", trials: "Trials", tmp_path: Path
) -> None:
    id = await created(polar, write)
    observation = {"regime": "clean", "steps": 30, "n_active": 3, "settled": True}
    await trials.end(await trials.begin(id, beta=1.0), 0.5, observations=[observation])
    out = tmp_path / "held.png"

    done = await polar("study", "figure", id, "--name", "hysteresis", "--out", out)

    assert done.exit_code == 2
    assert "error: there is nothing to draw: no training went on from another" in done.stderr
    assert not out.exists()


async def test_weight_by_steps_has_a_row_for_each_evaluation_and_each_edge(
    polar: "Polar", write: "Write", trials: "Trials", tmp_path: Path
) -> None:
    id = await created(polar, write)
    passed = [{"regime": "untrained", "steps": 8}, {"regime": "forming", "steps": 16}]
    observation = {
        "regime": "clean", "steps": 30, "n_active": 3, "settled": True, "trajectory": passed
    }  # fmt: skip
    trial = await trials.begin(id, beta=1.0, seed=0, **{"training.steps": 30})
    await trials.end(trial, 0.5, observations=[observation])
    by_steps = [{"steps": 30, "trainings": 1, "envelope": BAND}]
    await trials.end_study(id, **FOUND, by_steps=by_steps)
    out = tmp_path / "steps.png"

    done = await polar("study", "figure", id, "--name", "weight_by_steps", "--out", out)

    assert done.exit_code == 0, done.stderr
    assert imread(out).shape[2] == 4
    numbers = pd.read_csv(out.with_suffix(".csv"))
    assert numbers["steps"].tolist() == [8, 16, 30, 30, 30]
    assert numbers["regime"].dropna().tolist() == ["untrained", "forming", "clean"]
    assert numbers["edge"].dropna().tolist() == ["left", "right"]
    assert numbers["low"].dropna().tolist() == [0.1, 1.0]


async def test_the_loss_envelope_has_a_row_for_each_known_model(
    polar: "Polar", write: "Write", trials: "Trials", worker: "Worker", tmp_path: Path
) -> None:
    id = await created(polar, write)
    for beta, ended in ((18.0, (34.5, 1.233, "clean")), (22.0, (0.0, 0.0, "collapsed"))):
        await worker.solve((await trials.begin(id, beta=beta)).experiment_id, *ended)
    out = tmp_path / "envelope.png"

    done = await polar("study", "figure", id, "--name", "loss_envelope", "--out", out)

    assert done.exit_code == 0, done.stderr
    assert imread(out).shape[2] == 4
    numbers = pd.read_csv(out.with_suffix(".csv"))
    assert numbers["weight"].tolist() == [18.0, 22.0]
    assert numbers["regime"].tolist() == ["clean", "collapsed"]
    assert numbers["gain_nats"].tolist() == pytest.approx([34.5, 0.0])
    assert numbers["rise_nats"].tolist() == [1.233, 0.0]
    assert numbers["not_optimal"].tolist() == [False, True]
    assert numbers["better"].dropna().tolist() == ["18 (seed 0, 30 steps)"]
    assert numbers["by_nats"].dropna().tolist() == pytest.approx([34.5 - 22 * 1.233])


async def test_a_study_without_models_or_of_another_field_has_no_loss_envelope(
    polar: "Polar", write: "Write", tmp_path: Path
) -> None:
    out = tmp_path / "envelope.png"
    figure = ("--name", "loss_envelope", "--out", out)
    empty = await polar("study", "figure", await created(polar, write), *figure)
    search = "training.learning_rate: {log_uniform: [1e-4, 1e-2]}"
    spec = SPEC.replace("model.beta: {log_uniform: [1e-2, 100]}", search) + "sampler: random\n"
    made = await polar("study", "create", write(spec))

    other = await polar("study", "figure", made.stdout.split()[1], *figure)

    assert (empty.exit_code, other.exit_code) == (2, 2)
    assert (
        empty.stderr == "error: there is nothing to draw yet: no model of its problem is known\n"
    )
    assert other.stderr.startswith("error: the study sweeps training.learning_rate; allowed: its ")
    assert not out.exists()


async def test_a_figure_never_replaces_a_special_file(
    polar: "Polar", write: "Write", special_file: Path
) -> None:
    done = await polar("study", "figure", await created(polar, write), "--out", special_file)

    assert done.exit_code == 2
    assert f"{special_file} is not a regular file" in done.stderr


async def test_a_study_without_completed_trials_has_no_figure(
    polar: "Polar", write: "Write", tmp_path: Path
) -> None:
    out = tmp_path / "phase.png"

    done = await polar("study", "figure", await created(polar, write), "--out", out)

    assert done.exit_code == 2
    assert done.stderr == "error: there is nothing to draw yet: no trial is completed\n"
    assert not out.exists()


async def test_a_file_that_cannot_be_written_is_refused(
    polar: "Polar", write: "Write", trials: "Trials", tmp_path: Path
) -> None:
    id = await created(polar, write)
    observation = {"regime": "clean", "steps": 30, "n_active": 3, "settled": True}
    trial = await trials.begin(id, beta=1.0)
    await trials.end(trial, 0.5, observations=[observation], polarisation=0.5, explained=0.25)
    await trials.end_study(id, **FOUND)
    (tmp_path / "file").touch()

    kind = await polar("study", "figure", id, "--out", tmp_path / "phase.gif")
    folder = await polar("study", "figure", id, "--out", tmp_path / "file" / "phase.png")

    assert (kind.exit_code, folder.exit_code) == (2, 2)
    allowed = "allowed: names that end in .png, .svg, .pdf"
    assert f"the picture's name is 'phase.gif'; {allowed}" in kind.stderr
    assert f"cannot write {tmp_path / 'file' / 'phase.png'}: " in folder.stderr
