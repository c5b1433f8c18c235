"""What each route of the MLflow that is installed needs."""

import json
import re
import subprocess
import sys

import pytest
from starlette.requests import Request

from service.api.problems import Refused
from service.tokens import Scope
from service.tracking_scopes import scope_of

#: Prints the method and the path of all routes of MLflow; it has settings of its own, and so a
#: process.
ROUTES = """
import json, warnings
warnings.simplefilter("ignore")
from mlflow.server import app as flask
from mlflow.server.fastapi_app import app as fastapi

def walk(routes, prefix=""):
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from walk(included.routes, prefix + route.include_context.prefix)
        else:
            methods = getattr(route, "methods", None) or ()
            yield from ((method, prefix + route.path) for method in methods)

of_flask = ((method, str(rule)) for rule in flask.url_map.iter_rules() for method in rule.methods)
print(json.dumps([*walk(fastapi.routes), *of_flask]))
"""
Routes = list[tuple[str, str]]


@pytest.fixture(scope="module")
def routes() -> Routes:
    done = subprocess.run(
        [sys.executable, "-c", ROUTES], capture_output=True, text=True, check=True, timeout=180
    )
    found = [(method, path) for method, path in json.loads(done.stdout) if method != "OPTIONS"]
    return [(method, re.sub(r"<[^>]*>|{[^}]*}", "x", path)) for method, path in found]


def needed(method: str, path: str) -> Scope | str | None:
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    try:
        return scope_of(Request(scope))
    except Refused as refusal:
        return "nobody" if refusal.status == 403 else str(refusal)


def of_tracking(path: str) -> str:
    """The end of a path below one of MLflow's prefixes, which all lead to the same."""
    return re.sub(r"^/(ajax-)?api/\d\.\d/mlflow/", "", path)


def test_only_health_and_version_are_open(routes: Routes) -> None:
    assert len(routes) > 400
    is_open = {(method, path) for method, path in routes if needed(method, path) is None}

    assert is_open == {
        (method, path) for method in ("GET", "HEAD") for path in ("/health", "/version")
    }


def test_what_changes_something_needs_more_than_reading(routes: Routes) -> None:
    searches = {
        of_tracking(path)
        for method, path in routes
        if method not in ("GET", "HEAD") and needed(method, path) is Scope.READ
    }

    assert searches == {
        "/graphql",  # its mutations only search (see the test below)
        "datasets/search",
        "experiments/search",
        "experiments/search-datasets",
        "issues/search",
        "logged-models/search",
        "registered-models/get-latest-versions",
        "runs/search",
        "traces/batchGetInfos",
        "traces/calculate-filter-correlation",
        "traces/metrics",
        "traces/search",
    }


def test_what_a_training_writes_needs_steer_and_what_is_gone_for_good_needs_admin(
    routes: Routes,
) -> None:
    changes = [route for route in routes if route[0] not in ("GET", "HEAD")]
    by_scope = {
        scope: {
            (method, of_tracking(path))
            for method, path in changes
            if needed(method, path) is scope
        }
        for scope in (Scope.STEER, Scope.ADMIN)
    }

    assert {
        ("POST", "experiments/create"),
        ("POST", "experiments/set-experiment-tag"),
        ("POST", "runs/create"),
        ("POST", "runs/log-batch"),
        ("POST", "runs/set-tag"),
        ("POST", "runs/delete"),
        ("POST", "upload-artifact"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x"),
    } <= by_scope[Scope.STEER]
    assert not [method for method, _ in by_scope[Scope.STEER] if method == "DELETE"]
    assert {
        ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/x"),
        ("DELETE", "registered-models/delete"),
        ("POST", "model-versions/create"),
        ("POST", "traces/delete-traces"),
    } <= by_scope[Scope.ADMIN]


def test_what_acts_as_the_user_of_the_server_is_served_to_nobody(routes: Routes) -> None:
    closed = {of_tracking(path) for method, path in routes if needed(method, path) == "nobody"}
    kinds = {re.sub(r"^/ajax-api/3.0/", "", path).strip("/").split("/")[0] for path in closed}

    assert kinds == {
        "assistant",
        "demo",
        "gateway",
        "gateway-proxy",
        "genai",
        "issues",
        "jobs",
        "prompt-optimization",
        "scorer",
        "scorers",
        "webhooks",
    }


def test_no_route_that_runs_jobs_or_scorers_is_served(routes: Routes) -> None:
    runs = re.compile(r"/(jobs|scorers?|invoke|assistant|generate)(/|$)")
    running = [route for route in routes if runs.search(route[1])]

    assert {"POST", "GET", "PATCH", "DELETE"} <= {method for method, _ in running}
    assert {needed(*route) for route in running} == {"nobody"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/unknown"),
        ("OPTIONS", "/api/2.0/mlflow/runs/search"),
        ("get", "/api/2.0/mlflow/runs/get"),
        ("POST", "/health"),
        ("POST", "/api/2.0/mlflow/runs/search/../delete"),
        ("DELETE", "/api/2.0/mlflow/runs/search"),
        ("POST", "//graphql"),
        ("POST", "/graphql\n"),
    ],
)
def test_what_is_not_known_needs_more_than_reading(method: str, path: str) -> None:
    assert needed(method, path) in (Scope.STEER, Scope.ADMIN)


def test_mutations_of_graphql_only_search() -> None:
    program = """
import warnings
warnings.simplefilter("ignore")
from mlflow.server.graphql.graphql_schema_extensions import Mutation
print(*sorted(Mutation._meta.fields))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=180
    )

    assert done.stdout.split() == ["mlflow_search_datasets", "mlflow_search_runs", "testMutation"]
