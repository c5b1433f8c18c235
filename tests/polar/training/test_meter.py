import math
import time

import pytest
import torch

from polar.errors import Diverged
from polar.models import Losses
from polar.spec import ExperimentSpec
from polar.training.meter import Meter

SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 100},
        "model": {"beta": 2.0},
        "training": {"steps": 40, "batch_size": 10},
    }
)


def losses(reconstruction: float, kl: float) -> Losses:
    terms = [torch.tensor(value) for value in (reconstruction, kl, reconstruction + 2 * kl)]
    return Losses(*terms)


@pytest.fixture
def started_at_20() -> Meter:
    return Meter(SPEC, 20, torch.device("cpu"))


def test_a_report_has_the_means_since_the_last_one(started_at_20: Meter) -> None:
    started_at_20.add(losses(100.0, 1.0))
    started_at_20.report(21)
    started_at_20.add(losses(10.0, 1.0))
    started_at_20.add(losses(20.0, 3.0))

    progress = started_at_20.report(23)

    assert (progress.reconstruction_nats, progress.kl_nats, progress.loss_nats) == (15, 2, 19)
    assert (progress.step, progress.steps, progress.epoch) == (23, 40, 2.3)
    assert progress.images_per_s > 0


def test_there_is_news_after_a_step_only(started_at_20: Meter) -> None:
    before = started_at_20.has_news(20)
    started_at_20.add(losses(1.0, 1.0))

    assert not before
    assert started_at_20.has_news(21)


def test_the_time_of_other_things_is_left_out(
    started_at_20: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = started_at_20.clock
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    started_at_20.add(losses(1.0, 1.0))
    now += 0.5
    first = started_at_20.report(21)
    now += 100
    started_at_20.restart_clock()
    started_at_20.add(losses(1.0, 1.0))
    now += 0.25
    second = started_at_20.report(22)

    assert (first.images_per_s, second.images_per_s) == (20, 40)
    assert first.eta_s == 19 * 0.5
    assert second.eta_s == 18 * 0.375


def test_a_report_is_due_after_a_second(
    started_at_20: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = started_at_20.clock
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    now += 0.9
    early = started_at_20.is_due()
    now += 0.2
    late = started_at_20.is_due()

    assert (early, late) == (False, True)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_step_that_is_not_finite_is_named(started_at_20: Meter, bad: float) -> None:
    started_at_20.add(losses(1.0, 1.0))
    started_at_20.report(21)
    for value in (1.0, 1.0, bad, 1.0, bad):
        started_at_20.add(losses(1.0, value))

    with pytest.raises(Diverged, match=r"not finite at step 24; .* below 0\.001"):
        started_at_20.report(26)
