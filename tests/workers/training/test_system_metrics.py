"""What a run takes of its machine, as somebody who watches its processes sees it."""

import os
import threading
import time
from itertools import pairwise

import psutil
import pytest

from tests.workers.training.working_processes import OF_ALL, PATIENCE_S, WORKS, process, until
from workers.training import system_metrics
from workers.training.system_metrics import (
    SAMPLE_S,
    Means,
    Processes,
    Watch,
    of_machine,
)

#: How often these tests take a sample.
QUICK_S = 0.05
#: It has 100 MB, and has started a process that has 100 MB and works.
HAS_STARTED_ANOTHER = """
import subprocess, sys
x = bytearray(100_000_000)
subprocess.Popen([sys.executable, "-c", '''
y = bytearray(100_000_000)
print(flush=True)
while True: pass
'''])
sys.stdin.read()
"""


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "SAMPLE_S", QUICK_S)


def is_watched(pid: int) -> bool:
    return f"system metrics of process {pid}" in {each.name for each in threading.enumerate()}


def test_a_process_that_works_takes_what_it_takes() -> None:
    with process(WORKS) as pid:
        before = sum(psutil.Process(pid).cpu_times()[:2])
        began_at = time.monotonic()
        processes = Processes(pid)
        until(lambda: sum(psutil.Process(pid).cpu_times()[:2]) > before + 0.2)

        sample = processes.sample()

        took_s = time.monotonic() - began_at
        most_s = sum(psutil.Process(pid).cpu_times()[:2]) - before
    assert 0.15 < sample["cpu_utilization_percentage"] / 100 * took_s <= most_s * 1.01 + 0.02
    assert 200 < sample["process_memory_usage_megabytes"] < 250


def test_what_a_process_has_started_counts_with_it() -> None:
    with process(HAS_STARTED_ANOTHER) as pid:
        processes = Processes(pid)
        first = processes.sample()
        (started,) = psutil.Process(pid).children()
        before = sum(started.cpu_times()[:2])
        until(lambda: sum(started.cpu_times()[:2]) > before + 0.2)

        second = processes.sample()
        started.kill()
        until(lambda: started.status() == psutil.STATUS_ZOMBIE)
        third = processes.sample()

    assert 200 < first["process_memory_usage_megabytes"] < 300
    assert second["cpu_utilization_percentage"] > 0
    assert 100 < third["process_memory_usage_megabytes"] < 150


def test_a_process_that_has_ended_has_no_sample() -> None:
    with process(WORKS) as pid:
        processes = Processes(pid)
    with pytest.raises(psutil.NoSuchProcess):
        processes.sample()
    with pytest.raises(psutil.NoSuchProcess):
        Processes(pid)


def test_the_memory_of_the_machine_is_a_part_of_all() -> None:
    sample = of_machine()

    used, percent = sample.values()
    assert used * 1e6 / percent * 100 == pytest.approx(psutil.virtual_memory().total)
    assert 0 < percent < 100


def test_a_run_of_three_days_has_a_few_hundred_points_of_the_same_mean() -> None:
    means = Means(0.0)
    ages = [SAMPLE_S * number for number in range(1, int(3 * 24 * 3600 / SAMPLE_S) + 1)]

    for age_s in ages:
        means.add(age_s, {"a": age_s, "b": 7.0})

    assert [age_s for age_s, _ in means.points[:3]] == [5, 10, 15]
    assert 300 < len(means.points) < 400
    seconds = [0, *(second for second, _ in means.points)]
    assert seconds == sorted(set(seconds))
    for (earlier, later), (_, point) in zip(pairwise(seconds), means.points, strict=True):
        assert point == {"a": (earlier + SAMPLE_S + later) / 2, "b": 7.0}
    assert max(b - a for a, b in pairwise(seconds)) < 3 * 24 * 3600 / 39


def test_a_later_attempt_goes_on_at_the_age_of_the_run_and_is_seen_as_soon() -> None:
    # Nothing was seen for a quarter of an hour of a run that had waited for a night.
    means = Means(40_000.0)

    for number in range(1, 43):
        means.add(40_000.0 + SAMPLE_S * number, {"a": float(number)})

    assert means.points[:2] == [(40_005, {"a": 1.0}), (40_010, {"a": 2.0})]
    assert means.points[-2:] == [(40_200, {"a": 40.0}), (40_210, {"a": 41.5})]


def test_what_was_sampled_after_the_last_point_is_in_a_point_of_its_own() -> None:
    means = Means(0.0)
    for number in range(1, 52):
        means.add(SAMPLE_S * number, {"a": float(number)})
    before = len(means.points)

    means.gather()
    means.gather()

    assert means.points[before - 1 :] == [(250, {"a": 49.5}), (255, {"a": 51.0})]


@pytest.mark.usefixtures("_quick")
def test_a_watch_gathers_until_its_process_ends(caplog: pytest.LogCaptureFixture) -> None:
    with process(WORKS) as pid:
        watch = Watch(pid, "cpu", age_s=0.5)
        until(lambda: len(watch.means.points) >= 2)
    until(lambda: not is_watched(pid))

    assert all(set(sample) == OF_ALL for _, sample in watch.means.points)
    assert not caplog.records


def test_a_watch_can_be_ended_before_its_process() -> None:
    with process(WORKS) as pid:
        watch = Watch(pid, "cpu", age_s=0.0)
        assert is_watched(pid)

        watch.end()

        until(lambda: not is_watched(pid))


async def test_a_run_that_is_shorter_than_the_time_to_a_sample_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(system_metrics, "SAMPLE_S", 1000.0)
    monkeypatch.setattr(system_metrics, "FIRST_S", 1000.0)
    monkeypatch.setattr(system_metrics, "LAST_S", PATIENCE_S)
    with process(WORKS) as pid:
        watch = Watch(pid, "cpu", age_s=7.0)
        await watch.finish()

    ((age_s, sample),) = watch.means.points
    assert age_s >= 7
    assert set(sample) == OF_ALL


async def test_a_watch_that_hangs_is_waited_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(system_metrics, "LAST_S", QUICK_S)
    monkeypatch.setattr(system_metrics, "of_machine", is_over.wait)
    with process(WORKS) as pid:
        watch = Watch(pid, "cpu", age_s=0.0)
        await watch.finish()
        assert is_watched(pid)
    is_over.set()


async def test_a_machine_that_has_no_more_threads_is_not_watched(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    watch = Watch(os.getpid(), "cpu", age_s=0.0)
    await watch.finish()

    assert watch.means.points == []
    assert "can't start new thread" in caplog.text
