"""Longer trainings and warm starts go on from earlier states to the same numbers, to the bit."""

import contextlib
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.errors import CheckpointUnusable
from polar.models import Losses
from polar.records.events import CheckpointSaved, Evaluation
from polar.spec import ExperimentSpec
from polar.spec.course import trainings, warm_started, with_steps
from polar.training import checkpoint, evaluation, loop, schedule
from polar.training.inputs import Inputs
from polar.training.loop import train
from polar.training.state import TrainingState, fresh
from polar.training.subset import evaluation_subset

IMAGES = (torch.arange(40 * 1024) * 7919 % 251).to(torch.uint8).view(40, 1, 32, 32)
DIGITS = torch.eye(10).byte()[torch.arange(40) % 10]
MODELS: list[dict[str, Any]] = [
    {"name": "beta_vae", "beta": 3.0},
    {"name": "ivae", "alpha": 3.0},
    {"name": "lv_ae", "lambda": 0.01},
    {"name": "l2_ae", "gamma": 0.01},
]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])


def spec(steps: int, model: dict[str, Any] | None = None, **training: object) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 40},
            "model": {**(model or MODELS[0]), "latent_dim": 2, "widths": [2, 3, 2, 3, 2]},
            "training": {
                "steps": steps,
                "batch_size": 9,
                "learning_rate": 0.01,
                "checkpoint_every": 4,
                "held_out": 0,
                **training,
            },
            "diagnostics": {"images": 20, "information_images": 0},
        }
    )


def state_of(spec: ExperimentSpec, source: Path | None = None) -> TrainingState:
    state = fresh(spec, "digest", torch.device("cpu"))
    if source is not None:
        checkpoint.restore(state, source)
    return state


def go_on(
    state: TrainingState, folder: Path | None = None, stop: Callable[[], bool] | None = None
) -> list[Any]:
    final = state.trainings[-1]
    inputs = Inputs(IMAGES, DIGITS if final.u else DIGITS[:, :0])
    subset = evaluation_subset(inputs, final)
    return list(train(state, inputs, subset, checkpoints=folder, stop=stop))


def trained(spec: ExperimentSpec, source: Path | None = None) -> TrainingState:
    state = state_of(spec, source)
    go_on(state)
    return state


def last_state(spec: ExperimentSpec, folder: Path) -> Path:
    """The file that a finished run of the spec leaves."""
    path = folder / "last_state.pt"
    checkpoint.write(trained(spec), path)
    return path


def bits(state: TrainingState) -> list[Any]:
    """Everything that the next step depends on, and what has been measured."""
    optimiser = state.optimiser.state_dict()["state"]
    return [
        state.step,
        state.stage,
        *(weights.tolist() for weights in state.model.state_dict().values()),
        *(value.tolist() for values in optimiser.values() for value in values.values()),
        state.noise.get_state().tolist(),
        state.evaluations,
    ]


@each_model
@pytest.mark.parametrize("scale", [None, "linear", "logarithmic"])
def test_a_longer_training_goes_on_from_the_end_of_a_shorter_one(
    model: dict[str, Any], scale: str | None, tmp_path: Path
) -> None:
    rising = {"weight_warm_up": {"fraction": 0.5, "scale": scale}} if scale else {}
    short = spec(11, model, **rising)
    long = with_steps(short, 21)

    extended = trained(long, last_state(short, tmp_path))

    assert bits(extended) == bits(trained(long))
    # Those of 11 steps ended with an evaluation at step 11, which is none of the powers of two.
    assert [each.step for each in extended.evaluations] == [1, 2, 4, 8, 16, 21]


def test_what_only_the_end_of_the_shorter_one_measured_is_left_out(tmp_path: Path) -> None:
    content = spec(16).model_dump()
    content["diagnostics"]["information_images"] = 20
    short = ExperimentSpec.model_validate(content)
    long = with_steps(short, 21)

    extended = trained(long, last_state(short, tmp_path))

    assert trained(short).evaluations[-1].latents[0].information_nats is not None
    assert bits(extended) == bits(trained(long))


@settings(max_examples=10)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=4))
def test_it_may_be_made_longer_several_times(ends: list[int]) -> None:
    first, *later = sorted(ends)
    with tempfile.TemporaryDirectory() as folder:
        path = last_state(spec(first), Path(folder))
        for end in later:
            state = trained(with_steps(spec(first), end), path)
            checkpoint.write(state, path)

    assert bits(state) == bits(trained(spec(max(ends))))


def test_a_training_does_not_go_on_from_a_later_state(tmp_path: Path) -> None:
    path = last_state(spec(12), tmp_path)

    with pytest.raises(CheckpointUnusable, match="is at step 12; this run ends at 10"):
        state_of(spec(10), path)


@each_model
def test_a_warm_start_begins_with_the_last_state_of_its_stage(
    model: dict[str, Any], tmp_path: Path
) -> None:
    cold = spec(11, model)
    warm = warm_started(cold, weight=0.5, steps=9)

    state = state_of(warm)
    go_on(state, stop=lambda: state.stage == 1)

    assert (state.step, state.stage, state.evaluations) == (0, 1, [])
    before = trained(cold)
    for ours, theirs in zip(
        [*state.model.state_dict().values(), state.noise.get_state()],
        [*before.model.state_dict().values(), before.noise.get_state()],
        strict=True,
    ):
        assert torch.equal(ours, theirs)
    assert bits(trained(warm, last_state(cold, tmp_path))) == bits(trained(warm))


def test_a_warm_start_of_several_stages_may_go_on_from_any_of_them(tmp_path: Path) -> None:
    warm = spec(
        7, warm_start=[{"weight": 8, "steps": 5}, {"weight": 2, "steps": 6}],
        weight_warm_up={"fraction": 0.5},
    )  # fmt: skip
    whole = bits(trained(warm))

    for stage in trainings(warm):
        assert bits(trained(warm, last_state(stage, tmp_path))) == whole
    shorter = with_steps(trainings(warm)[1], 4)
    assert bits(trained(warm, last_state(shorter, tmp_path))) == whole


def test_a_warm_started_training_goes_on_to_more_steps(tmp_path: Path) -> None:
    warm = spec(7, warm_start=[{"weight": 8, "steps": 5}])
    long = with_steps(warm, 15)

    assert bits(trained(long, last_state(warm, tmp_path))) == bits(trained(long))


def test_the_stages_are_trained_at_their_own_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(spec: ExperimentSpec, step: int) -> float:
        seen.append((spec.model.weight, step))
        return 1.0

    monkeypatch.setattr(schedule, "weight", spy)
    trained(spec(2, warm_start=[{"weight": 8, "steps": 3}, {"weight": 0, "steps": 1}]))

    assert seen == [(8, 0), (8, 1), (8, 2), (0, 0), (3, 0), (3, 1)]


def test_only_the_last_training_is_evaluated_and_reported(tmp_path: Path) -> None:
    warm = spec(5, warm_start=[{"weight": 8, "steps": 6}])

    events = go_on(state_of(warm), tmp_path)

    assert [event.step for event in events if isinstance(event, Evaluation)] == [1, 2, 4, 5]
    saved = [event for event in events if isinstance(event, CheckpointSaved)]
    assert [event.step for event in saved] == [0, 0, 4, 5]
    assert [Path(event.path).name for event in saved] == [
        "step-00000004.pt", "step-00000006.pt", "step-00000010.pt", "step-00000011.pt",
    ]  # fmt: skip


@settings(max_examples=15)
@given(st.lists(st.integers(0, 30), max_size=3), st.booleans())
def test_a_warm_start_that_is_killed_or_stopped_anywhere_gives_the_same_bits(
    moments: list[int], is_killed: bool
) -> None:
    warm = spec(9, warm_start=[{"weight": 8, "steps": 5}, {"weight": 2, "steps": 6}])

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for moment in moments:
            state = state_of(warm, folder)
            asked = itertools.count()
            if is_killed:
                _die_after(moment, state.model)
                with contextlib.suppress(SystemExit):
                    go_on(state, folder)
            else:
                go_on(state, folder, stop=lambda: next(asked) >= moment)  # noqa: B023
        state = state_of(warm, folder)
        go_on(state, folder)

    assert bits(state) == bits(trained(warm))


def _die_after(steps: int, model: Any) -> None:  # noqa: ANN401
    made, losses = itertools.count(), model.losses

    def dying(*inputs: Any) -> Losses:  # noqa: ANN401
        if next(made) >= steps:
            raise SystemExit
        return losses(*inputs)

    model.losses = dying


def test_a_state_of_a_stage_is_none_of_a_run_that_should_have_evaluated_it(
    tmp_path: Path,
) -> None:
    warm = spec(5, warm_start=[{"weight": 8, "steps": 6}])
    state = state_of(warm)
    go_on(state, tmp_path, stop=lambda: state.step == 4)

    with pytest.raises(CheckpointUnusable, match="lacks the evaluation at step 1"):
        state_of(trainings(warm)[0], tmp_path / "step-00000004.pt")


@pytest.fixture
def settles_at_8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every evaluation from step 8 on say that training has settled."""

    def evaluated(*args: Any, **options: Any) -> Evaluation:  # noqa: ANN401
        found = evaluation.evaluate(*args, **options)
        verdict = found.verdict.model_copy(update={"settled": found.step >= 8})
        return found.model_copy(update={"verdict": verdict})

    monkeypatch.setattr(loop, "evaluate", evaluated)


@pytest.mark.usefixtures("settles_at_8")
def test_a_training_ends_when_it_has_settled_and_is_the_same_up_to_there(tmp_path: Path) -> None:
    state = state_of(spec(30, until="settled"))

    events = go_on(state, tmp_path)

    assert state.has_ended
    assert (state.step, events[-1].step) == (8, 8)
    assert isinstance(events[-1], CheckpointSaved)
    assert bits(state) == bits(trained(spec(8)))
    assert go_on(state) == []


@pytest.mark.usefixtures("settles_at_8")
def test_a_settled_training_makes_more_steps_when_it_is_asked_to(tmp_path: Path) -> None:
    path = last_state(spec(30, until="settled"), tmp_path)

    longer = with_steps(spec(30, until="settled"), 16)

    assert bits(trained(longer, path)) == bits(trained(spec(16)))


@pytest.mark.usefixtures("settles_at_8")
def test_a_settled_training_is_a_stage_of_as_many_steps(tmp_path: Path) -> None:
    settled = spec(30, until="settled")
    warm = warm_started(with_steps(settled, 8), weight=0.5, steps=3)

    assert bits(trained(warm, last_state(settled, tmp_path))) == bits(trained(warm))


@pytest.mark.usefixtures("settles_at_8")
def test_a_training_that_ends_when_it_has_settled_does_not_go_on_from_later(
    tmp_path: Path,
) -> None:
    path = last_state(spec(12), tmp_path)

    with pytest.raises(CheckpointUnusable, match="is at step 12; this run has settled at 8"):
        state_of(spec(30, until="settled"), path)
