"""The client for programs with an event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar
from uuid import UUID

from polar.records.pictures import PictureKind
from service.client.client import Client
from service.client.clock import Clock
from service.client.errors import ClientError
from service.client.picture import FIGURE_TIMEOUT_S, Picture
from service.client.requests import K

#: Most requests and streams of events at a time; others wait.
THREADS = 64

P = ParamSpec("P")
T = TypeVar("T")


def _in_thread(
    method: Callable[Concatenate[Client, P], T],
) -> Callable[Concatenate["AsyncClient", P], Awaitable[T]]:
    """The method of `Client` in a thread, so that the event loop goes on meanwhile."""

    @wraps(method)
    async def asked(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.in_thread(method, self.client, *args, **kwargs)

    return asked


def _each_in_thread(
    method: Callable[Concatenate[Client, P], Iterator[T]],
) -> Callable[Concatenate["AsyncClient", P], AsyncIterator[T]]:
    """The same for a method that returns an iterator, item by item."""

    @wraps(method)
    async def each(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        items = await self.in_thread(method, self.client, *args, **kwargs)
        end = object()
        try:
            while (item := await self.in_thread(next, items, end)) is not end:
                yield item  # type: ignore[misc]  # mypy does not know that it is not the end
        finally:
            with suppress(ValueError):  # a thread still waits for the next item
                getattr(items, "close", lambda: None)()

    return each


class AsyncClient:
    """`Client` for programs with an event loop: the same methods, to be awaited.

    The answers are those of `Client`. Their own methods wait for the service, so call those as
    `await client.in_thread(run.frame)`, or use the client's: `await client.latents(id)`.
    Cancelling a task leaves a request that was sent to end in its thread.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        home: Path | None = None,
        pauses_s: Sequence[float] | None = None,
        token: str | None = None,
    ) -> None:
        """Connect as `Client` does."""
        self.client = Client(url, home=home, pauses_s=pauses_s, token=token)
        # Threads of its own, because each stream of events holds a thread until it ends.
        self._threads = ThreadPoolExecutor(THREADS, "polar-client")
        self._is_closed = False

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function, such as a method of an answer, while the event loop goes on."""
        if self._is_closed:
            raise ClientError("this client is closed")
        call = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, as `Client.close`; requests under way fail."""
        self._is_closed = True
        self.client.close()  # here, because streams may hold all threads
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def wait(self, answer: K, timeout_s: float | None = None) -> K:
        """Fetch an experiment, a run or a study once it has ended, as `Client.wait`."""
        clock = Clock(timeout_s)
        while not answer.has_ended:
            await clock.pause_async(f"{type(answer).__name__.lower()} {answer.id} goes on")
            answer = await self.refresh(answer)
        return answer

    async def figure(
        self,
        run_id: UUID | str,
        name: str,
        timeout_s: float | None = FIGURE_TIMEOUT_S,
        *,
        kind: PictureKind = "png",
    ) -> Picture:
        """Fetch a figure of a run that has succeeded, as `Client.figure`."""
        clock = Clock(timeout_s)
        while (picture := await self.figure_if_made(run_id, name, kind)) is None:
            await clock.pause_async(f"the figures of run {run_id} are still to come")
        return picture

    async def refresh(self, answer: K) -> K:
        """Fetch an experiment, a run or a study anew."""
        return await self.in_thread(self.client.refresh, answer)

    submit = _in_thread(Client.submit)
    validate = _in_thread(Client.validate)
    experiments = _each_in_thread(Client.experiments)
    experiment = _in_thread(Client.experiment)
    runs = _each_in_thread(Client.runs)
    run = _in_thread(Client.run)
    ask_for_findings = _in_thread(Client.ask_for_findings)
    model = _in_thread(Client.model)
    model_file = _in_thread(Client.model_file)
    datasets = _in_thread(Client.datasets)
    diagnostics = _in_thread(Client.diagnostics)
    latents = _in_thread(Client.latents)
    evaluations = _in_thread(Client.evaluations)
    log = _in_thread(Client.log)
    figures = _in_thread(Client.figures)
    figure_if_made = _in_thread(Client.figure_if_made)
    meant = _in_thread(Client.meant)
    find = _in_thread(Client.find)
    find_any = _in_thread(Client.find_any)
    cancel = _in_thread(Client.cancel)
    delete = _in_thread(Client.delete)
    describe = _in_thread(Client.describe)
    extend = _in_thread(Client.extend)
    rerun = _in_thread(Client.rerun)
    watch = _each_in_thread(Client.watch)
    create_study = _in_thread(Client.create_study)
    validate_study = _in_thread(Client.validate_study)
    studies = _each_in_thread(Client.studies)
    study = _in_thread(Client.study)
    watch_studies = _each_in_thread(Client.watch_studies)
    front = _in_thread(Client.front)
    trials = _each_in_thread(Client.trials)
    trials_frame = _in_thread(Client.trials_frame)
    export_trials = _in_thread(Client.export_trials)
    study_figure = _in_thread(Client.study_figure)
    models = _in_thread(Client.models)
    order_study = _in_thread(Client.order_study)
    extend_study = _in_thread(Client.extend_study)
    create_token = _in_thread(Client.create_token)
    tokens = _in_thread(Client.tokens)
    revoke_token = _in_thread(Client.revoke_token)
    login_link = _in_thread(Client.login_link)
