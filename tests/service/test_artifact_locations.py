"""MLflow keeps to its own artifacts: real requests, in all forms in which it reads a location."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import httpx
import psycopg
import pytest

from service.embedded.postgres import Postgres

if TYPE_CHECKING:
    from tests.processes import Mlflow

EXPERIMENTS = "/api/2.0/mlflow/experiments/create"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def http(mlflow: "Mlflow") -> Iterator[httpx.Client]:
    as_owner = {"Authorization": f"Bearer {mlflow.token}"}
    with httpx.Client(base_url=mlflow.url, headers=as_owner, timeout=60) as client:
        yield client


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody else's, with something to read."""
    (tmp_path / "secret.txt").write_text("the secret")
    return tmp_path


def post(http: httpx.Client, path: str, **content: object) -> dict[str, Any]:
    answer = http.post(f"/api/2.0/mlflow/{path}", json=content)
    assert answer.is_success, answer.text
    known: dict[str, Any] = answer.json()
    return known


def name() -> str:
    return f"foreign {uuid.uuid4()}"


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


#: Bodies that name a location, in the ways in which MLflow reads them.
FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": lambda at: json.dumps({"name": name(), "artifact_location": at}).encode(),
    "camel case": lambda at: json.dumps({"name": name(), "artifactLocation": at}).encode(),
    "escaped": lambda at: (
        f'{{"name": "{name()}", "\\u0061rtifact_location": "{escaped(at)}"}}'.encode()
    ),
    "the last of two": lambda at: (
        f'{{"name": "{name()}", "artifact_location": "mlflow-artifacts:/x", '
        f'"artifact_location": "{at}"}}'.encode()
    ),
    "encoded twice": lambda at: json.dumps(
        json.dumps({"name": name(), "artifact_location": at})
    ).encode(),
    "UTF-16": lambda at: json.dumps({"name": name(), "artifact_location": at}).encode("utf-16"),
}


@pytest.mark.parametrize("prefix", ["/api", "/ajax-api"])
@pytest.mark.parametrize("form", list(FORMS))
def test_no_form_of_a_request_makes_an_experiment_elsewhere(
    form: str, prefix: str, http: httpx.Client, outside: Path
) -> None:
    body = FORMS[form](outside.as_uri())

    answer = http.post(f"{prefix}/2.0/mlflow/experiments/create", content=body, headers=JSON)

    assert answer.status_code == 403, answer.text
    assert answer.json()["error_code"] == "PERMISSION_DENIED"
    assert "this server does not keep artifacts at" in answer.json()["message"]
    assert "allowed: its own" in answer.json()["message"]


def test_forms_and_queries_make_no_experiment_at_all(http: httpx.Client, outside: Path) -> None:
    wanted = {"name": name(), "artifact_location": outside.as_uri()}

    by_form = http.post(EXPERIMENTS, data=wanted)
    by_query = http.post(f"{EXPERIMENTS}?{urlencode(wanted)}", headers=JSON)
    by_get = http.get(f"{EXPERIMENTS}?{urlencode(wanted)}")
    known = {"experiment_name": wanted["name"]}
    found = http.get("/api/2.0/mlflow/experiments/get-by-name", params=known)

    assert [by_form.is_success, by_query.is_success, by_get.is_success] == [False] * 3
    assert found.status_code == 404


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc",
        "FILE:///etc",
        "/etc",
        "etc",
        "../../etc",
        "file://localhost/etc",
        "s3://bucket/x",
        "http://127.0.0.1:1/api/2.0/mlflow-artifacts/artifacts/x",
        "mlflow-artifacts://127.0.0.1:1/x",
        "mlflow-artifacts:/../../etc",
        "mlflow-artifacts:/%2e%2e/%252e%252e/etc",
        "mlflow-artifacts:/x/..\\..",
        "dbfs:/x",
        " file:///etc",
    ],
)
def test_experiments_elsewhere_are_refused(location: str, http: httpx.Client) -> None:
    answer = http.post(EXPERIMENTS, json={"name": name(), "artifact_location": location})

    assert answer.status_code in (400, 403), answer.text  # 400: MLflow itself refuses it


def test_experiments_here_are_made(http: httpx.Client) -> None:
    chosen = post(http, "experiments/create", name=name())["experiment_id"]
    named = post(
        http, "experiments/create", name=name(), artifact_location="mlflow-artifacts:/mine/é x"
    )["experiment_id"]

    for experiment in (chosen, named):
        run = post(http, "runs/create", experiment_id=experiment)["run"]["info"]
        path = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
        http.put(f"/api/2.0/mlflow-artifacts/artifacts/{quote(path)}/a.txt", content=b"mine")
        known = {"run_uuid": run["run_id"], "path": "a.txt"}
        assert http.get("/get-artifact", params=known).text == "mine"


def test_no_version_of_a_model_is_elsewhere(http: httpx.Client) -> None:
    post(http, "registered-models/create", name=(model := name()))
    experiment = post(http, "experiments/create", name=name())["experiment_id"]
    run = post(http, "runs/create", experiment_id=experiment)["run"]["info"]

    def made(source: str) -> int:
        version = {"name": model, "source": source, "run_id": run["run_id"]}
        return http.post("/api/2.0/mlflow/model-versions/create", json=version).status_code

    here = [made(f"runs:/{run['run_id']}/model"), made(f"{run['artifact_uri']}/model")]
    elsewhere = [made("s3://bucket/model"), made("hdfs://h/x"), made("/etc")]

    assert here == [200, 200]
    assert elsewhere == [403, 400, 400]  # 400: MLflow itself refuses it


def test_traces_elsewhere_are_neither_named_nor_opened(
    http: httpx.Client, postgres: Postgres, outside: Path
) -> None:
    experiment = post(http, "experiments/create", name=name())["experiment_id"]
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    trace = {
        "trace_id": (trace_id := f"tr-{uuid.uuid4().hex}"),
        "trace_location": place,
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
    }
    (outside / "traces.json").write_text('{"spans": "the secret"}')
    made = http.post("/api/3.0/mlflow/traces", json={"trace": {"trace_info": trace}})

    def tagged(key: str) -> int:
        tags = f"/api/3.0/mlflow/traces/{trace_id}/tags"
        return http.patch(tags, json={"key": key, "value": outside.as_uri()}).status_code

    answers = [tagged("mine"), tagged("mlflow.artifactLocation")]
    with psycopg.connect(postgres.url("mlflow")) as database:
        stored = database.execute(
            "UPDATE trace_tags SET value = %s WHERE request_id = %s "
            "AND key = 'mlflow.artifactLocation'",
            [f"mlflow-artifacts:/{'../' * 20}{str(outside)[1:]}", trace_id],
        ).rowcount
    known = {"request_id": trace_id}
    read = http.get("/ajax-api/2.0/mlflow/get-trace-artifact", params=known)

    assert made.is_success, made.text
    assert answers == [200, 403]
    assert (stored, read.status_code) == (1, 403)
    assert "this server does not keep artifacts at" in read.text


def test_what_was_stored_elsewhere_before_is_neither_read_nor_written(
    http: httpx.Client, postgres: Postgres, outside: Path
) -> None:
    experiment = post(http, "experiments/create", name=name())["experiment_id"]
    run_id = post(http, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    with psycopg.connect(postgres.url("mlflow")) as database:
        database.execute(
            "UPDATE experiments SET artifact_location = %s WHERE experiment_id = %s",
            [outside.as_uri(), experiment],
        )
        database.execute(
            "UPDATE runs SET artifact_uri = %s WHERE run_uuid = %s", [outside.as_uri(), run_id]
        )

    read = http.get("/get-artifact", params={"run_uuid": run_id, "path": "secret.txt"})
    listed = http.get("/api/2.0/mlflow/artifacts/list", params={"run_id": run_id})
    asked = f'query {{ mlflowListArtifacts(input: {{runId: "{run_id}"}}) {{ files {{ path }} }} }}'
    graphql = http.post("/graphql", json={"query": asked})
    written = http.post(
        "/ajax-api/2.0/mlflow/upload-artifact",
        params={"run_uuid": run_id, "path": "mine.txt"},
        content=b"mine",
    )
    another = http.post("/api/2.0/mlflow/runs/create", json={"experiment_id": experiment})
    deleted = http.post("/api/2.0/mlflow/experiments/delete", json={"experiment_id": experiment})

    assert [each.status_code for each in (read, listed, written, another)] == [403] * 4
    assert "this server does not keep artifacts at" in graphql.text
    assert "secret" not in read.text + listed.text + graphql.text
    assert [path.name for path in outside.iterdir()] == ["secret.txt"]
    assert deleted.is_success  # whoever has such an experiment can get rid of it
