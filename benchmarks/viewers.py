"""What those who look at a page cost the API, and how long it takes to make large pages.

    python -m benchmarks.viewers --out DIR

A viewer does what the script of a page does: it holds the stream of changes, and fetches the page
whenever something has changed. Postgres and the API are real; a training is told here, a progress
a second, as an agent tells it. It takes 5 minutes.
"""

import asyncio
import http.client
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from itertools import count
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from benchmarks.bare_service import DIGEST, BareService, bare_service, content
from benchmarks.process_tree import cpu_seconds
from benchmarks.results import Bar, Cell, Measured, Options, Table, run
from polar import run as train
from polar.records.events import ArtifactSaved, Event, Progress, Result
from polar.records.trials import Measured as TrialMeasured
from polar.spec import ExperimentSpec, StudySpec
from service.storage import experiments, runs, studies
from service.storage.states import TrialState

VIEWERS = 100
RUNS = 2_000
#: As many as an experiment may have.
MOST_SEEDS = 1_000
ROUNDS = 5
#: As in the script of the pages, with which a test compares them.
SHARE, LONGEST_S = 0.003, 60.0
#: A training of the smallest kind, whose events all runs here have.
TOLD = {
    "dataset": {"name": "digits", "images": 64},
    "model": {"latent_dim": 10, "widths": [4, 4, 4, 4, 4]},
    "training": {"steps": 200, "batch_size": 16},
}
#: All runs of an experiment become what this run is.
END_AS = (
    "insert into app.evaluations (run_id, step, attempt, evaluation) "
    "select run.run_id, e.step, e.attempt, e.evaluation "
    "from app.evaluations e, app.experiment_runs run "
    "where e.run_id = :told and run.experiment_id = any(:experiments) on conflict do nothing",
    "update app.runs set attempt = 1, state = 'succeeded', started = told.started, "
    "progress = told.progress, result = told.result, finished_at = now(), started_at = now() "
    "from app.runs told where told.id = :told and runs.id in "
    "(select run_id from app.experiment_runs where experiment_id = any(:experiments))",
)
MEANS = {
    "clean_polarisation": 0.5, "polarisation": 0.5, "explained": 0.5, "reconstruction": 100.0,
    "n_active": 4.0, "kl": 8.0,
}  # fmt: skip


class Viewer:
    """Looks at a page until it is told to stop, and counts how often it has fetched it."""

    def __init__(self, service: BareService, page: str) -> None:
        self._service, self._page = service, page
        self.pages = 0
        self.is_over = False
        self._is_late = False

    def look(self) -> None:
        rests_until = 0.0
        with closing(_connection(self._service)) as stream:
            page = "/studies" if self._page == "/" else self._page
            changes = _get(stream, self._service, f"/live{page}")
            while not self.is_over:
                if changes.readline().startswith(b"event: changed"):
                    self._is_late = True
                if self._is_late and time.monotonic() >= rests_until:
                    self._is_late = False
                    rests_until = time.monotonic() + min(self._fetch() / SHARE, LONGEST_S)

    def _fetch(self) -> float:
        """Fetch the page, as it is then; returns the processor seconds that it took to make."""
        with closing(_connection(self._service)) as page:  # one that rests would be closed
            answer = _get(page, self._service, self._page, {"Polar-Refresh": "yes"})
            answer.read()
        self.pages += 1
        return float(answer.headers["Server-Timing"].rpartition("=")[2]) / 1e3


def main() -> None:
    run("viewers", measured, __doc__ or "")


def measured(options: Options) -> Measured:
    return asyncio.run(_measured(options.quick))


async def _measured(quick: bool) -> Measured:
    viewers, most = (10, 100) if quick else (VIEWERS, RUNS)
    during_s = 20.0
    events = list(_events())
    async with bare_service() as service:
        (told,) = await service.submit([10**6], **TOLD)
        await _tell(service, told, events)
        seeds = min(most, MOST_SEEDS)
        large = {
            f"/experiments/{await _experiment(service, told, seeds)}": seeds,
            f"/studies/{await _study(service, told, most)}": most,
        }
        took: list[list[Cell]] = [
            [path.split("/")[1], of, *_seconds(service, path)] for path, of in large.items()
        ]
        (watched,) = await service.submit([10**6 + 1], **TOLD)
        small = await _study(service, told, 20, running=watched)
        busy = await _study(service, told, most, running=watched)
        pages = {
            "the list of studies": "/",
            "a run": f"/runs/{watched}",
            "a study of 21 trials": f"/studies/{small}",
            f"a study of {most + 1:,} trials": f"/studies/{busy}",
        }
        rows: list[list[Cell]] = []
        async with _training(service, watched, events):
            for name, page in pages.items():
                for each in (1, viewers):
                    rows.append(
                        [
                            name,
                            each,
                            *await asyncio.to_thread(_cost, service, page, each, during_s),
                        ]
                    )
    head = ["page", "viewers", "API, % of a core", "of it for each", "pages fetched a second"]
    bars = [
        *(
            Bar(f"{row[1]} viewers of {row[0]}, each", float(row[3] or 0), 1, "% of a core")
            for row in rows
        ),
        *(
            Bar(f"page of {row[0]} with {row[1]:,} runs", float(row[2] or 0), 0.5, "s")
            for row in took
        ),
    ]
    return Measured(
        [
            Table("Viewers of a page that changes every second", head, rows),
            Table("Large pages", ["page of", "runs", "answer, s", "processor, s", "KiB"], took),
        ],
        bars,
    )


def _events() -> Iterator[Event]:
    with tempfile.TemporaryDirectory() as folder:
        for event in train(ExperimentSpec.model_validate(TOLD), out=Path(folder) / "out"):
            if not isinstance(event, ArtifactSaved):
                yield event


async def _tell(service: BareService, run_id: UUID, events: Iterable[Event]) -> None:
    assert await service.claim(run_id)
    for event in events:
        async with service.database.transaction() as session:
            await runs.record(session, run_id, 1, event)


async def _end(service: BareService, told: UUID, made: Sequence[UUID]) -> None:
    async with service.database.transaction() as session:
        for statement in END_AS:
            await session.execute(text(statement), {"told": told, "experiments": made})


async def _experiment(service: BareService, told: UUID, count: int) -> UUID:
    spec = ExperimentSpec.model_validate(content(range(count), **TOLD))
    async with service.database.transaction() as session:
        made = await experiments.create(session, spec, DIGEST, force=True)
        id = made.experiment.id
    await _end(service, told, [id])
    return id


async def _study(
    service: BareService, told: UUID, count: int, running: UUID | None = None
) -> UUID:
    """A study of so many trials that have ended, and one in work if there is a run for it."""
    spec = StudySpec.model_validate(
        {
            "base": content([0], **TOLD),
            "search": {"model.beta": {"log_uniform": [0.01, 100]}},
            "sampler": "random",
            "budget": {"trials": count + 1},
        }
    )
    seen = {
        **MEANS, "regimes": ["clean"], "settled": [True], "of_seeds": [MEANS],
        "observations": [{"regime": "clean", "steps": 200, "settled": True}],
    }  # fmt: skip
    found = TrialMeasured.model_validate(seen)
    made = []
    async with service.database.transaction() as session:
        study = await studies.create(session, spec, DIGEST)
        for number in range(count + (running is not None)):
            point = {"model.beta": 0.01 * 10 ** (4 * number / count)}
            of_point = spec.experiment(point)
            submission = await experiments.create(session, of_point, DIGEST, force=True)
            id = submission.experiment.id
            trial = await studies.begin_trial(
                session, study, number=number, point=point, experiment_id=id, turn=0
            )
            if number < count:
                made.append(id)
                await studies.end_trial(
                    session,
                    trial,
                    TrialState.COMPLETED,
                    values=[0.5],
                    measured=found,
                    reason=None,
                    message=None,
                )
            else:
                await session.execute(
                    text("update app.experiment_runs set run_id = :run where experiment_id = :id"),
                    {"run": running, "id": id},
                )
        study_id = study.id
    await _end(service, told, made)
    return study_id


@asynccontextmanager
async def _training(
    service: BareService, run_id: UUID, events: Sequence[Event]
) -> AsyncIterator[None]:
    """A run in work that has been evaluated, and reports its progress every second."""
    begun = [event for event in events if not isinstance(event, Result)]
    await _tell(service, run_id, begun)
    telling = asyncio.create_task(_go_on(service, run_id, begun))
    try:
        yield
    finally:
        telling.cancel()


async def _go_on(service: BareService, run_id: UUID, events: Sequence[Event]) -> None:
    last = [event for event in events if isinstance(event, Progress)][-1]
    for step in count(last.step + 1):
        progress = last.model_copy(update={"step": step, "steps": 10**6})
        async with service.database.transaction() as session:
            await runs.record(session, run_id, 1, progress)
        await asyncio.sleep(1)


def _cost(service: BareService, page: str, viewers: int, during_s: float) -> list[Cell]:
    """Share of a core of the API, the same for each viewer, and pages fetched a second."""
    all_of_them = [Viewer(service, page) for _ in range(viewers)]
    with ThreadPoolExecutor(viewers) as pool:
        looking = [pool.submit(each.look) for each in all_of_them]
        time.sleep(5)  # they have connected, and have the page as it is now
        earlier, begin = sum(each.pages for each in all_of_them), time.monotonic()
        before = cpu_seconds([service.pid])
        time.sleep(during_s)
        used = cpu_seconds([service.pid]) - before
        took = time.monotonic() - begin
        fetched = sum(each.pages for each in all_of_them) - earlier
        for each in all_of_them:
            each.is_over = True
        for viewer in looking:
            viewer.result()
    return [100 * used / took, 100 * used / took / viewers, fetched / took]


def _seconds(service: BareService, page: str) -> list[Cell]:
    """Median wall and processor seconds of an answer, and its KiB."""
    walls, processor, size = [], [], 0
    with closing(_connection(service)) as connection:
        for _ in range(ROUNDS):
            before, begin = cpu_seconds([service.pid]), time.perf_counter()
            size = len(_get(connection, service, page).read())
            walls.append(time.perf_counter() - begin)
            processor.append(cpu_seconds([service.pid]) - before)
    return [statistics.median(walls), statistics.median(processor), size / 1024]


def _connection(service: BareService) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", service.settings.api_port, timeout=120)


def _get(
    connection: http.client.HTTPConnection,
    service: BareService,
    path: str,
    more: Mapping[str, str] | None = None,
) -> http.client.HTTPResponse:
    assert service.settings.token
    token = service.settings.token.get_secret_value()
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip", **(more or {})}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200, (path, answer.status, answer.read())
    return answer


if __name__ == "__main__":
    main()
