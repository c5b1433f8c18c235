"""How costs grow with images, latents, steps, runs, metrics and studies: slopes on log-log axes.

    python -m benchmarks.growth --out DIR

The science is measured by the CPU time of one thread, the service by the wall clock. What can be
repeated is a median of three; trainings, submissions, first trials and the storing of reports are
measured once. A cost bends at the first size from which it grows with a larger power
than it should: 1, but 2 where all pairs of images are compared. It takes 8 minutes.
"""

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np
import torch

from benchmarks import joint
from benchmarks.bare_service import DIGEST, BareService, bare_service, content
from benchmarks.results import Cell, Measured, Options, Table, run, use_one_thread
from benchmarks.timing import seconds_of
from polar import measure
from polar.entropy import joint_entropy, renyi_entropy
from polar.experiment.run import run as experiment_run
from polar.records.events import Evaluation, Event, Progress
from polar.spec import ExperimentSpec, StudySpec
from polar.training.allocator import keep_freed_memory
from service.storage import runs, studies, tracking
from service.studies.advancing import optuna_storage
from service.studies.broker import Broker

#: How far above the power that it should have a slope may be.
TOLERANCE = 0.25
#: Costs below this are left out when bends are looked for: they are fixed costs and noise.
NEGLIGIBLE_S = 0.01
ROUNDS = 3


@dataclass(frozen=True)
class Growth:
    """What something costs at several sizes."""

    what: str
    of: str
    sizes: Sequence[int]
    seconds: Sequence[float]
    #: The power of the size with which the cost should grow at most.
    power: float = 1.0

    @property
    def slopes(self) -> list[float]:
        """The slope between each size and the next."""
        points = pairwise(zip(self.sizes, self.seconds, strict=True))
        return [math.log(d / b) / math.log(c / a) for (a, b), (c, d) in points]

    @property
    def bend(self) -> int | None:
        """The first size from which it grows faster than it should; None if it never does."""
        for size, seconds, slope in zip(self.sizes, self.seconds[1:], self.slopes, strict=False):
            if seconds >= NEGLIGIBLE_S and slope > self.power + TOLERANCE:
                return size
        return None


def main() -> None:
    use_one_thread()
    run("growth", measured, __doc__ or "")


def measured(options: Options) -> Measured:
    torch.set_num_threads(1)
    keep_freed_memory()
    grown = [*_of_science(options.quick), *asyncio.run(_of_service(options.quick))]
    return Measured([_table(grown), _bends(grown)], (), [vars(growth) for growth in grown])


def _table(grown: Sequence[Growth]) -> Table:
    rows: list[list[Cell]] = [
        [
            growth.what,
            growth.of,
            f"{growth.sizes[0]:,} to {growth.sizes[-1]:,}",
            growth.seconds[0],
            growth.seconds[-1],
            " ".join(f"{slope:.2f}" for slope in growth.slopes),
            growth.power,
            "no" if growth.bend is None else f"{growth.bend:,}",
        ]
        for growth in grown
    ]
    head = [
        "cost",
        "of",
        "sizes",
        "first, s",
        "last, s",
        "slopes",
        "should be at most",
        "bends at",
    ]
    return Table("Growth of costs", head, rows)


def _bends(grown: Sequence[Growth]) -> Table:
    bent = sorted(
        (growth for growth in grown if growth.bend is not None),
        key=lambda growth: growth.seconds[growth.sizes.index(growth.bend or 0) + 1],
        reverse=True,
    )
    rows = [[growth.what, growth.of, growth.bend] for growth in bent]
    return Table(
        "What bends, the dearest first", ["cost", "of", "from"], rows or [["nothing", "", ""]]
    )


def _of_science(quick: bool) -> Iterator[Growth]:
    rng = np.random.default_rng(0)
    normal = rng.standard_normal
    renyi_entropy(np.arange(9.0))
    joint_entropy(*joint.images_and_latents(100))  # chooses between int8 and float32

    def marginals(n: int, latents: int) -> float:
        x = normal((n, latents))
        return seconds_of(lambda: renyi_entropy(x))

    def pairs(n: int) -> float:
        images, mu = joint.images_and_latents(n)
        return seconds_of(lambda: joint_entropy(images, mu, sigma_x=2.0))

    def report(n: int, latents: int) -> float:
        mean = normal((n, latents)) * np.where(np.arange(latents) < latents / 2, 1.0, 0.02)
        return seconds_of(lambda: measure(mean, np.full_like(mean, 0.1)))

    images, latents = (1_000, 10_000, 100_000, 1_000_000), (8, 32, 128, 512)
    for_pairs, for_reports = (250, 500, 1_000, 2_000, 4_000, 8_000), (300, 1_000, 3_000, 10_000)
    steps = (50, 100, 200, 400, 800, 1_600)
    few = 2 if quick else None
    list(_training(10))  # what only the first training imports
    yield _grown(
        "marginal entropies of 32 latents", "images", images[:few], lambda n: marginals(n, 32)
    )
    yield _grown(
        "marginal entropies of 10,000 images",
        "latents",
        latents[:few],
        lambda d: marginals(10_000, d),
    )
    yield _grown(
        "joint entropies of 32 latents, order 2", "images", for_pairs[:few], pairs, power=2.0
    )
    yield _grown("report on 16 latents", "images", for_reports[:few], lambda n: report(n, 16))
    yield _grown("report on 1,000 images", "latents", latents[:few], lambda d: report(1_000, d))
    yield _grown(
        "training of digits, with its evaluations",
        "steps",
        steps[:few],
        lambda made: seconds_of(lambda: list(_training(made))),
        rounds=1,
    )


def _grown(
    what: str,
    of: str,
    sizes: Sequence[int],
    cost: Callable[[int], float],
    *,
    power: float = 1.0,
    rounds: int = ROUNDS,
) -> Growth:
    costs = [[cost(size) for size in sizes] for _ in range(rounds)]  # they take turns
    return Growth(
        what, of, sizes, [statistics.median(each) for each in zip(*costs, strict=True)], power
    )


def _training(steps: int) -> Iterator[Event]:
    """The training of the example of digits."""
    spec = ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits"},
            "model": {"latent_dim": 16, "widths": [8, 8, 16, 16, 32]},
            "training": {"steps": steps, "batch_size": 64, "learning_rate": 4e-3},
        }
    )
    return experiment_run(spec, device="cpu", with_findings=False)


async def _of_service(quick: bool) -> list[Growth]:
    counts = [1, 10, 20] if quick else [1, 10, 100, 1_000]
    async with bare_service() as service:
        service.client.post("/experiments", json=content([0])).raise_for_status()
        await service.work_off(1)  # what only the first of each imports
        return [
            *await _of_runs(service, counts),
            await _of_experiments(service, counts[1:]),
            *await _of_metrics(service, [10, 100] if quick else [10, 100, 1_000, 10_000]),
            *await _of_studies(service, [1, 4] if quick else [1, 4, 16, 64, 256]),
        ]


async def _of_runs(service: BareService, counts: Sequence[int]) -> list[Growth]:
    """One experiment of so many runs."""
    seconds: dict[str, list[float]] = {}
    for count in counts:
        spec = content(range(count), name=f"{count} runs")
        with _clock(seconds, "submission of an experiment"):
            posted = service.client.post(
                "/experiments", json=spec, params={"force": True}, timeout=60
            )
        path = f"/experiments/{posted.raise_for_status().json()['id']}"
        await _asked(seconds, "look at an experiment", service, path)
        with _clock(seconds, "claim and end of queued runs"):
            await service.work_off(1)
    return [Growth(what, "runs", counts, each) for what, each in seconds.items()]


async def _of_experiments(service: BareService, counts: Sequence[int]) -> Growth:
    """So many experiments of one run."""
    seconds: dict[str, list[float]] = {}
    what = "list of 50 experiments"
    for before, count in pairwise((0, *counts)):
        for _ in range(count - before):
            await service.submit([0])
        await _asked(seconds, what, service, "/experiments")
    return Growth(what, "experiments", counts, seconds[what])


async def _of_metrics(service: BareService, counts: Sequence[int]) -> list[Growth]:
    """A run that has reported so much; a tenth of it are evaluations."""
    seconds: dict[str, list[float]] = {}
    events = list(_training(1))
    progress = next(event for event in events if isinstance(event, Progress))
    evaluation = next(event for event in events if isinstance(event, Evaluation))
    for count in counts:
        (run_id,) = await service.submit([0])
        claimed = await service.claim(run_id)
        assert claimed
        with _clock(seconds, "storing of reports"):
            for step in range(1, count + 1):
                event: Event = progress.model_copy(update={"step": step})
                if step % 10 == 0:
                    event = evaluation.model_copy(update={"step": step})
                async with service.database.transaction() as session:
                    await runs.record(session, run_id, claimed.attempt, event)
        await _asked(seconds, "look at a run", service, f"/runs/{run_id}")
        await _asked(seconds, "all that was measured", service, f"/runs/{run_id}/diagnostics")
        told = partial(_read_metrics, service, run_id)
        await _timed(seconds, "1,000 metrics, as MLflow is told them", told)
    return [Growth(what, "reports", counts, each) for what, each in seconds.items()]


async def _read_metrics(service: BareService, run_id: UUID) -> None:
    async with service.database.transaction() as session:
        await tracking.metrics_after(session, run_id, 0, limit=1_000)


async def _of_studies(service: BareService, counts: Sequence[int]) -> list[Growth]:
    """So many studies with a trial in flight each, where nothing is due."""
    seconds: dict[str, list[float]] = {}
    storage = await asyncio.to_thread(optuna_storage, service.settings)
    broker = Broker(service.database, service.queue, storage)
    spec = StudySpec.model_validate(
        {
            "base": content([0]),
            "search": {"model.beta": {"log_uniform": [0.01, 100]}},
            "sampler": "random",
            "budget": {"trials": 3},
            "concurrency": 1,
        }
    )
    begun = 0
    for count in counts:
        async with service.database.transaction() as session:
            for _ in range(count - begun):
                study = await studies.create(session, spec, DIGEST)
        begun = count
        with _clock(seconds, "begin of the first trials of new studies"):
            await broker.advance_all()
        await _timed(seconds, "pass of the broker with nothing to do", broker.advance_all)
        await _asked(seconds, "list of 50 studies", service, "/studies")
        await _asked(seconds, "look at a study", service, f"/studies/{study.id}")
    first = seconds.pop("begin of the first trials of new studies")
    new = [count - before for before, count in pairwise((0, *counts))]
    return [
        Growth("begin of the first trials of new studies", "studies", new, first),
        *(Growth(what, "studies", counts, each) for what, each in seconds.items()),
    ]


async def _asked(
    seconds: dict[str, list[float]], what: str, service: BareService, path: str
) -> None:
    async def ask() -> None:
        service.client.get(path, timeout=60).raise_for_status()

    await _timed(seconds, what, ask)


async def _timed(
    seconds: dict[str, list[float]], what: str, work: Callable[[], Awaitable[Any]]
) -> None:
    each: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        with _clock(each, what):
            await work()
    seconds.setdefault(what, []).append(statistics.median(each[what]))


@contextmanager
def _clock(seconds: dict[str, list[float]], what: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds.setdefault(what, []).append(time.perf_counter() - begin)


if __name__ == "__main__":
    main()
