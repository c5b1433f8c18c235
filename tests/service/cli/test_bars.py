"""What bars say of a training."""

from typing import TYPE_CHECKING

from service.cli.bars import time_left

if TYPE_CHECKING:
    from tests.conftest import Reports


def test_the_time_left_is_in_hours_minutes_and_seconds(reports: "Reports") -> None:
    progress = reports.progress(10).model_copy(update={"eta_s": 3725.4})

    assert time_left(progress) == "1:02:05 left"


def test_after_the_last_step_the_latents_are_measured(reports: "Reports") -> None:
    # "0 s left" stood there for a minute, and the command looked as if it hung.
    assert time_left(reports.progress(100)) == "measuring"
