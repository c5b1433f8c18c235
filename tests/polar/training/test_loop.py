"""Training to the end, in pieces, and with reports in between gives the same numbers."""

import functools
import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.errors import Diverged
from polar.records.events import CheckpointSaved, Evaluation, Progress
from polar.spec import ExperimentSpec
from polar.training import checkpoint, loop, meter
from polar.training.inputs import Inputs
from polar.training.loop import train
from polar.training.state import TrainingState, fresh
from polar.training.subset import evaluation_subset

STEPS = 17
#: Seven batches of nine an epoch, so that 17 steps end inside the third; one image is left over.
IMAGES = (torch.arange(64 * 1024) * 7919 % 251).to(torch.uint8).view(64, 1, 32, 32)
DIGITS = torch.eye(10).byte()[torch.arange(64) % 10]
INPUTS = Inputs(IMAGES, DIGITS[:, :0])
INPUTS_OF_AN_IVAE = Inputs(IMAGES, DIGITS)


def spec(seed: int = 0, checkpoint_every: int = 5, model: str = "beta_vae") -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 64},
            "model": {"name": model, "latent_dim": 2, "widths": [2, 3, 2, 3, 2]},
            "training": {
                "steps": STEPS,
                "batch_size": 9,
                "learning_rate": 0.01,
                "held_out": 0,
                "checkpoint_every": checkpoint_every,
            },
            "diagnostics": {"images": 40},
            "seeds": [seed],
        }
    )


def new_state(seed: int = 0) -> TrainingState:
    return fresh(spec(seed), "digest", torch.device("cpu"))


def go_on(
    state: TrainingState, *, seed: int = 0, stop_at: int | None = None, folder: Path | None = None
) -> list[Any]:
    """Trains on to the end, or until asked to stop at a step."""
    subset = evaluation_subset(INPUTS, spec(seed))
    stop = None if stop_at is None else lambda: state.step >= stop_at
    return list(train(state, INPUTS, subset, checkpoints=folder, stop=stop))


def bits(state: TrainingState) -> list[Any]:
    """Everything that the next step depends on."""
    optimiser = state.optimiser.state_dict()["state"]
    return [
        state.step,
        *(weights.tolist() for weights in state.model.state_dict().values()),
        *(value.tolist() for values in optimiser.values() for value in values.values()),
        state.noise.get_state().tolist(),
        state.unreported.tolist(),
        state.reported_step,
    ]


@pytest.fixture(scope="module")
def uninterrupted() -> TrainingState:
    state = new_state()
    go_on(state)
    return state


def test_events_come_in_the_order_of_their_steps(tmp_path: Path) -> None:
    events = go_on(new_state(), folder=tmp_path)

    assert [event.step for event in events] == sorted(event.step for event in events)
    assert [event.step for event in events if isinstance(event, Evaluation)] == [
        1, 2, 4, 8, 16, 17,
    ]  # fmt: skip
    assert [event.step for event in events if isinstance(event, CheckpointSaved)] == [
        5,
        10,
        15,
        17,
    ]
    assert events[-3].step == STEPS
    assert isinstance(events[-3], Progress)


def test_training_lowers_the_loss() -> None:
    events = go_on(new_state())

    losses = [event.loss for event in events if isinstance(event, Progress)]
    assert losses[-1] < losses[0]


def test_the_same_seed_gives_the_same_bits(uninterrupted: TrainingState) -> None:
    state = new_state()

    go_on(state)

    assert bits(state) == bits(uninterrupted)
    assert state.evaluations == uninterrupted.evaluations


def test_another_seed_gives_other_numbers(uninterrupted: TrainingState) -> None:
    state = new_state(seed=1)

    go_on(state, seed=1)

    assert state.evaluations != uninterrupted.evaluations


def test_global_chance_plays_no_part(uninterrupted: TrainingState) -> None:
    torch.manual_seed(12345)
    before = torch.get_rng_state()
    state = new_state()

    go_on(state)

    assert bits(state) == bits(uninterrupted)
    assert torch.equal(torch.get_rng_state(), before)


def test_reports_change_no_numbers(
    uninterrupted: TrainingState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "REPORTS", 1)
    state = new_state()

    events = go_on(state)

    assert sum(isinstance(event, Progress) for event in events) < STEPS
    assert bits(state) == bits(uninterrupted)


@pytest.mark.parametrize("stop_at", [1, 4, 5, 6, 16])
def test_a_run_that_is_stopped_between_two_reports_reports_the_same_means(
    stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "REPORTS", 2)
    whole = go_on(new_state())
    first = new_state()
    before = go_on(first, stop_at=stop_at, folder=tmp_path)
    second = new_state()
    checkpoint.restore(second, tmp_path)

    after = go_on(second)

    assert scalars([*before, *after]) == scalars(whole)


def scalars(events: list[Any]) -> list[dict[str, float]]:
    """Every number that becomes a metric."""
    return [
        {"step": event.step, **event.scalars()}
        for event in events
        if isinstance(event, Progress | Evaluation)
    ]


@settings(max_examples=10, deadline=None)
@given(st.sets(st.integers(0, STEPS - 1), max_size=3))
def test_a_run_that_is_stopped_and_resumed_gives_the_same_bits(
    uninterrupted: TrainingState, stops: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for stop_at in [*sorted(stops), None]:
            state = new_state()
            checkpoint.restore(state, Path(folder))
            go_on(state, stop_at=stop_at, folder=Path(folder))

    assert bits(state) == bits(uninterrupted)
    assert state.evaluations == uninterrupted.evaluations


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40))
def test_a_run_that_is_killed_at_any_event_and_resumed_gives_the_same_bits(
    uninterrupted: TrainingState, events_seen: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subset = evaluation_subset(INPUTS, spec())
        killed = train(new_state(), INPUTS, subset, checkpoints=Path(folder))
        list(itertools.islice(killed, events_seen))
        state = new_state()
        checkpoint.restore(state, Path(folder))
        go_on(state, folder=Path(folder))

    assert bits(state) == bits(uninterrupted)
    assert state.evaluations == uninterrupted.evaluations


def test_stopping_writes_a_checkpoint_of_that_step(tmp_path: Path) -> None:
    state = new_state()

    events = go_on(state, stop_at=7, folder=tmp_path)

    assert state.step == 7
    assert events[-1] == CheckpointSaved(step=7, path=str(tmp_path / "step-00000007.pt"))


def test_without_a_folder_stopping_only_ends_the_stream() -> None:
    state = new_state()

    events = go_on(state, stop_at=7)

    assert state.step == 7
    assert not any(isinstance(event, CheckpointSaved) for event in events)


def test_a_finished_run_has_nothing_to_do(uninterrupted: TrainingState) -> None:
    assert go_on(uninterrupted) == []


@pytest.mark.parametrize(
    "model", ["beta_vae", "ivae", "fixed_variance_vae", "lv_ae", "l2_ae", "ae"]
)
def test_every_model_goes_on_from_a_checkpoint_with_the_same_bits(
    model: str, tmp_path: Path
) -> None:
    of_model = spec(model=model)
    data = INPUTS_OF_AN_IVAE if of_model.u else INPUTS
    subset = evaluation_subset(data, of_model)
    whole = fresh(of_model, "digest", torch.device("cpu"))
    list(train(whole, data, subset))

    for stop_at in (3, 8, STEPS):
        state = fresh(of_model, "digest", torch.device("cpu"))
        checkpoint.restore(state, tmp_path)
        stop = functools.partial(_is_at, state, stop_at)
        list(train(state, data, subset, checkpoints=tmp_path, stop=stop))

    assert bits(state) == bits(whole)
    assert state.evaluations == whole.evaluations


def _is_at(state: TrainingState, step: int) -> bool:
    return state.step >= step


def test_every_epoch_has_every_image_at_most_once_in_an_order_of_its_own() -> None:
    batches = list(itertools.islice(loop._batches(INPUTS, spec(), 0), 14))

    first, second = (
        [index for batch in epoch for index in batch.tolist()]
        for epoch in (batches[:7], batches[7:])
    )
    assert len(set(first)) == len(set(second)) == 63
    assert first != second


def test_batches_go_on_from_any_step_as_if_never_stopped() -> None:
    whole = list(itertools.islice(loop._batches(INPUTS, spec(), 0), STEPS))

    for step in range(STEPS):
        assert torch.equal(next(loop._batches(INPUTS, spec(), step)), whole[step])


def test_u_goes_with_its_images() -> None:
    of_model = spec(model="ivae")
    state = fresh(of_model, "digest", torch.device("cpu"))
    seen = []

    class Spy:
        def losses(self, images: torch.Tensor, u: torch.Tensor, _noise: torch.Generator) -> None:
            seen.append((images, u))
            raise InterruptedError

    state.model = Spy()  # type: ignore[assignment]
    data = Inputs(
        (torch.arange(64) % 10 * 25).byte().view(64, 1, 1, 1).repeat(1, 1, 32, 32), DIGITS
    )
    with pytest.raises(InterruptedError):
        list(train(state, data, evaluation_subset(data, of_model)))

    ((images, u),) = seen
    assert torch.equal(u.argmax(1), (images[:, 0, 0, 0] * 255 / 25).round().long())


def test_a_loss_that_is_not_finite_ends_the_run_and_is_not_saved(tmp_path: Path) -> None:
    state = new_state()
    go_on(state, stop_at=8, folder=tmp_path)
    torch.nn.init.constant_(next(state.model.parameters()), torch.nan)

    with pytest.raises(Diverged, match="the loss was not finite at step 9"):
        go_on(state, folder=tmp_path)
    healthy = new_state()
    checkpoint.restore(healthy, tmp_path)
    assert healthy.step == 8
