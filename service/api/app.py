"""The REST service, which `create_app` puts together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.staticfiles import StaticFiles

from service.api import problems
from service.api.body import BodyLimit
from service.api.browser_headers import BrowserHeaders
from service.api.catalogue import routes as catalogue
from service.api.dependencies import Parts
from service.api.experiments import routes as experiments
from service.api.health import routes as health
from service.api.hosts import TrustedHosts
from service.api.links import PREFIX
from service.api.measurements import routes as measurements
from service.api.measuring import Measuring
from service.api.metrics import routes as metrics
from service.api.metrics.requests import TimedRequests
from service.api.once import AnsweredBefore, answer_again
from service.api.pages import door as pages_door
from service.api.pages import live, logout, submitting
from service.api.pages import routes as pages
from service.api.request_ids import RequestIds
from service.api.runs import results
from service.api.runs import routes as runs
from service.api.shared_looks import SharedLooks
from service.api.shared_reads import SharedReads
from service.api.strictness import refuse_what_is_ambiguous
from service.api.studies import figures as study_figures
from service.api.studies import routes as studies
from service.api.tokens import routes as tokens
from service.api.webhooks import routes as webhooks
from service.queue import queue_app
from service.settings import Settings
from service.short_processes import ShortProcesses
from service.storage.database import Database

#: Files that are compressed already, and streams of events, which must not wait to be compressed.
ALREADY_SMALL = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "application/octet-stream",
    "application/pdf",
    "application/vnd.apache.parquet",
)


def create_app(settings: Settings) -> FastAPI:
    """The service with these settings; it starts even while the database is away."""
    app = FastAPIOffline(  # FastAPI's own pages load their scripts from elsewhere
        redoc_url=None,  # whose page loads a picture from elsewhere
        title="Polar",
        summary="Finds where latent spaces polarise.",
        version="1",
        lifespan=_tidy,
        dependencies=[Depends(refuse_what_is_ambiguous)],
    )
    # The queue's own connections stay closed because every job is written in our transactions.
    database = Database(
        settings.sqlalchemy_url, connections=settings.api_connections, is_impatient=True
    )
    app.state.parts = Parts(
        settings,
        database,
        queue_app(settings),
        Measuring(settings),
        ShortProcesses(settings.measure_at_once, settings.measure_s),
        SharedLooks(database),
        SharedReads(database),
        CollectorRegistry(),
    )
    problems.install(app)
    pages_door.install(app)
    app.exception_handler(AnsweredBefore)(answer_again)
    app.add_middleware(
        GZipMiddleware,
        minimum_size=1024,
        compresslevel=1,  # half as long as the others, for a tenth more bytes
        exclude_content_types=ALREADY_SMALL,
    )
    app.add_middleware(BodyLimit, larger={f"{PREFIX}/measurements": settings.measure_bytes})
    app.add_middleware(TrustedHosts, settings=settings)
    app.add_middleware(TimedRequests, registry=app.state.parts.metrics)
    app.add_middleware(BrowserHeaders)
    app.add_middleware(RequestIds)  # the last is the first to see a request
    resources = (
        experiments, runs, results, studies, study_figures, measurements, catalogue, tokens,
        health, metrics, webhooks,
    )  # fmt: skip
    for resource in resources:
        app.include_router(resource.router, prefix=PREFIX)
    app.include_router(tokens.open_router, prefix=PREFIX)
    app.include_router(pages.router)
    app.include_router(submitting.router)
    app.include_router(live.router)
    app.include_router(logout.router)
    app.mount("/static", StaticFiles(packages=[("service.api.pages", "static")]), "static")
    return app


@asynccontextmanager
async def _tidy(app: FastAPI) -> AsyncIterator[None]:
    app.state.parts.measuring.clear()
    yield
    await app.state.parts.looks.close()
    await app.state.parts.database.close()
