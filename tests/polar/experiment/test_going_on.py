"""Runs that go on from the last state of another run, to the same results."""

from pathlib import Path
from typing import Any

import pytest

import polar
from polar.errors import CheckpointUnusable
from polar.records.events import LAST_STATE_FILE, Evaluation, Event, Progress, Result, Started
from polar.spec import ExperimentSpec

SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 60},
        "model": {"beta": 0.5, "latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
        "training": {"steps": 11, "batch_size": 20, "weight_warm_up": {"fraction": 0.5}},
        "diagnostics": {"information_images": 0},
    }
)


def of(kind: type[Event], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the spec."""
    out = tmp_path_factory.mktemp("finished")
    list(polar.run(SPEC, out=out))
    return out


def test_a_finished_run_goes_on_to_the_result_of_one_uninterrupted_training(out: Path) -> None:
    longer = polar.with_steps(SPEC, 20)

    extended = list(polar.run(longer, resume_from=out / LAST_STATE_FILE))
    whole = list(polar.run(longer))

    assert [event.step for event in of(Started, extended)] == [11]
    assert of(Progress, extended)[0].step == 12
    assert of(Evaluation, extended) == of(Evaluation, whole)
    assert extended[-1] == whole[-1]
    assert isinstance(whole[-1], Result)
    assert whole[-1].steps == 20


def test_a_finished_run_is_the_stage_of_a_warm_start(out: Path, tmp_path: Path) -> None:
    warm = polar.warm_started(SPEC, weight=4.0, steps=6)

    started = list(polar.run(warm, out=tmp_path, resume_from=out / LAST_STATE_FILE))
    whole = list(polar.run(warm))

    assert [event.step for event in of(Started, started)] == [0]
    assert [event.step for event in of(Evaluation, started)] == [1, 2, 4, 6]
    assert of(Evaluation, started) == of(Evaluation, whole)
    assert started[-1] == whole[-1]
    longer = polar.with_steps(warm, 9)
    extended = list(polar.run(longer, resume_from=tmp_path / LAST_STATE_FILE))
    assert extended[-1] == list(polar.run(longer))[-1]


def test_a_warm_start_ends_elsewhere_than_a_training_from_scratch() -> None:
    content = {**SPEC.model_dump(), "model": {**SPEC.model.model_dump(), "beta": 4.0}}
    cold = ExperimentSpec.model_validate(content)

    *_, warm_result = polar.run(polar.warm_started(SPEC, weight=4.0))
    *_, cold_result = polar.run(cold)

    assert isinstance(warm_result, Result)
    assert isinstance(cold_result, Result)
    assert warm_result.final != cold_result.final
    assert warm_result.spec_hash != cold_result.spec_hash


def test_a_finished_run_of_the_same_course_needs_no_training(out: Path) -> None:
    relabelled = ExperimentSpec.model_validate({**SPEC.model_dump(), "name": "again"})

    events = list(polar.run(relabelled, resume_from=out / LAST_STATE_FILE))

    assert of(Progress, events) == []
    assert of(Result, events) == [list(polar.run(SPEC))[-1]]


def test_the_last_state_of_another_course_is_refused(out: Path) -> None:
    content = {**SPEC.model_dump(), "seeds": [1]}

    with pytest.raises(CheckpointUnusable, match="course"):
        next(polar.run(ExperimentSpec.model_validate(content), resume_from=out / LAST_STATE_FILE))


def test_a_damaged_last_state_is_refused(out: Path, tmp_path: Path) -> None:
    damaged = tmp_path / LAST_STATE_FILE
    damaged.write_bytes((out / LAST_STATE_FILE).read_bytes()[:-1000])

    with pytest.raises(CheckpointUnusable, match="is damaged"):
        next(polar.run(SPEC, resume_from=damaged))


def test_a_held_out_part_is_measured_and_not_trained_on() -> None:
    *_, result = events = list(polar.run(SPEC))

    (started,) = of(Started, events)
    assert isinstance(result, Result)
    assert (started.images, result.images) == (48, 48)
    assert result.held_out is not None
