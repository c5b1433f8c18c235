import math
import time

import pytest
import torch

from polar.errors import Diverged
from polar.models import Losses
from polar.spec import ExperimentSpec
from polar.training.meter import Meter
from polar.training.state import fresh

SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 100},
        "model": {"beta": 2.0},
        "training": {"steps": 40, "batch_size": 10, "held_out": 0},
    }
)


@pytest.fixture
def started_at_20() -> Meter:
    state = fresh(SPEC, "digest", torch.device("cpu"))
    state.step = state.reported_step = 20
    return Meter(state)


def step(meter: Meter, reconstruction: float, kl: float) -> None:
    """One step of training with these losses."""
    total = torch.tensor(reconstruction + 2 * kl)
    meter.add(total, Losses(torch.tensor(reconstruction), torch.tensor(kl)))
    meter.state.step += 1


def test_a_report_has_the_means_since_the_last_one(started_at_20: Meter) -> None:
    step(started_at_20, 100.0, 1.0)
    started_at_20.report()
    step(started_at_20, 10.0, 1.0)
    step(started_at_20, 20.0, 3.0)

    progress = started_at_20.report()

    assert (progress.reconstruction_nats, progress.penalty, progress.loss) == (15, 2, 19)
    assert (progress.step, progress.steps, progress.epoch) == (23, 40, 2.3)
    assert progress.images_per_s > 0


def test_the_time_of_other_things_is_left_out(
    started_at_20: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = started_at_20.clock
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    step(started_at_20, 1.0, 1.0)
    now += 0.5
    first = started_at_20.report()
    now += 100
    started_at_20.restart_clock()
    step(started_at_20, 1.0, 1.0)
    now += 0.25
    second = started_at_20.report()

    assert (first.images_per_s, second.images_per_s) == (20, 40)
    assert first.eta_s == 19 * 0.5
    assert second.eta_s == 18 * 0.375


@pytest.mark.parametrize(
    ("steps", "every"), [(1, 1), (99, 1), (100, 1), (1000, 10), (10_000, 100), (10_000_000, 100)]
)
def test_reports_come_at_fixed_steps(steps: int, every: int) -> None:
    training = SPEC.training.model_copy(update={"steps": steps})
    spec = SPEC.model_copy(update={"training": training})
    state = fresh(spec, "digest", torch.device("cpu"))
    meter = Meter(state)

    due = []
    for state.step in range(1, 301):
        due += [state.step] if meter.is_due() else []

    assert due == list(range(every, 301, every))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_step_that_is_not_finite_is_named(started_at_20: Meter, bad: float) -> None:
    step(started_at_20, 1.0, 1.0)
    started_at_20.report()
    for value in (1.0, 1.0, bad, 1.0, bad):
        step(started_at_20, 1.0, value)

    with pytest.raises(Diverged, match=r"not finite at step 24; .* below 0\.001"):
        started_at_20.report()
