"""`python -m service.dashboard`: optuna-dashboard on our studies, read-only, behind our door.

optuna-dashboard has no user accounts and would let everybody delete a study while the broker works
on it. Only the broker may change Optuna's tables (docs/decisions/0008).
"""

import json
import logging
import time
from collections.abc import Callable
from typing import Any, NoReturn, cast

import uvicorn
from a2wsgi import WSGIMiddleware
from bottle import HTTPResponse, abort, redirect, request
from optuna.storages import RDBStorage
from optuna_dashboard import wsgi
from sqlalchemy import NullPool, create_engine, inspect
from starlette.types import ASGIApp

from service import logs, resting
from service.api.hosts import TrustedHosts
from service.connections import connect_args
from service.guard import Guard
from service.serving import Protocol, serve
from service.settings import Settings
from service.tokens import Scope

POLL_S = 0.2
PAGE = "text/html; charset=UTF-8"
THREADS = 4
#: Hides buttons and pages for what `_only_show` refuses. It also hides the importance of a single
#: parameter, which is 1 whatever the trials have shown.
STYLE = b"""<style>
[aria-label="delete study"], [aria-label="rename study"], [aria-label="skip trial"],
[aria-label="delete artifact"], button:has([data-testid="AddBoxIcon"]),
button:has([data-testid="EditIcon"]), li:has(> a[href$="/note"]),
.MuiCard-root:has(#graph-hyperparameter-importances):not(:has(.point ~ .point)) {
    display: none !important;
}
</style></head>"""
#: Options with which Postgres lets optuna-dashboard write nothing, whatever it tries.
READ_ONLY = connect_args("default_transaction_read_only=on")


def create_app(settings: Settings) -> ASGIApp:
    """The dashboard, and `/polar/{id}`, which redirects to the page of one of our studies.

    Like the API, it answers only requests that address it by a name of this machine and show a
    token.
    """
    storage = RDBStorage(
        settings.optuna_sqlalchemy_url,
        # No pool: requests are rare, and Postgres may have restarted since the last.
        engine_kwargs={"poolclass": NullPool, "connect_args": READ_ONLY},
    )

    def open_study(study_id: str) -> NoReturn:
        for study in storage.get_all_studies():
            if study.user_attrs.get("study_id") == study_id:
                redirect(f"/dashboard/studies/{study._study_id}")
        abort(404, f"there is no study {study_id}, or it has not started yet")
        raise AssertionError

    dashboard = wsgi(storage)
    dashboard.add_hook("before_request", _only_show)
    dashboard.install(_styled)
    dashboard.route("/polar/<study_id>", callback=open_study)
    # Each library has its own types for the same protocol.
    app = cast(ASGIApp, WSGIMiddleware(dashboard, workers=THREADS))
    return TrustedHosts(Guard(app, settings, lambda _: Scope.READ), settings)


def _only_show() -> None:
    if request.method not in ("GET", "HEAD"):
        reason = "this dashboard only shows studies; change them with `polar study` or the API"
        body = json.dumps({"reason": reason})
        raise HTTPResponse(body, 405, {"Content-Type": "application/json", "Allow": "GET, HEAD"})


def _styled(answer: Callable[..., Any]) -> Callable[..., Any]:
    """A route whose pages are those of this route with our STYLE."""

    def styled(*arguments: object, **named: object) -> object:
        response = answer(*arguments, **named)
        is_page = isinstance(response, HTTPResponse) and response.content_type == PAGE
        if is_page and hasattr(response.body, "read"):
            with response.body as file:
                response.body = file.read().replace(b"</head>", STYLE)
            response.content_length = len(response.body)
        return response

    return styled


def wait_for_tables(settings: Settings) -> None:
    """Wait until the broker has created Optuna's tables; the table of their version comes last."""
    engine = create_engine(settings.optuna_sqlalchemy_url)
    while not inspect(engine).has_table("alembic_version"):
        time.sleep(POLL_S)
    engine.dispose()


def main() -> None:
    logs.set_up(logging.WARNING)
    settings = Settings.read_or_exit()
    wait_for_tables(settings)
    if settings.dashboard_fd is not None:
        resting.serve(create_app(settings), settings.dashboard_fd)
        return
    serve(
        uvicorn.Config(
            create_app(settings),
            host=settings.api_host,
            port=settings.dashboard_port,
            http=Protocol,
            log_config=None,
            timeout_graceful_shutdown=3,
        )
    )


if __name__ == "__main__":
    main()
