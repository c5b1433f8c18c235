"""What Prometheus reads."""

from typing import TYPE_CHECKING

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from service.storage import runs
from service.storage.database import Database
from tests.service.conftest import LEASE_S

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Worker

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def samples(http: httpx.AsyncClient) -> Samples:
    answer = await http.get("/api/v1/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_an_empty_service_has_metrics(http: httpx.AsyncClient) -> None:
    seen = await samples(http)

    assert seen["polar_agents", ()] == 0
    assert seen["polar_untold_runs", ()] == 0
    assert not [name for name, _ in seen if name in ("polar_runs", "polar_queued_runs")]


async def test_runs_queues_and_lost_attempts_are_counted(
    http: httpx.AsyncClient,
    database: Database,
    worker: "Worker",
    submit: "Submitter",
    spec_of: "SpecMaker",
) -> None:
    await worker.announce()
    stored = await submit(spec_of(seeds=[0, 1, 2]))
    claimed = await worker.claim(stored.runs[0].id)
    assert claimed is not None
    async with database.transaction() as session:
        await runs.release(session, claimed.id, 1, reason="lease_lost", message="gone")
    assert await worker.claim(claimed.id) is not None
    async with database.transaction() as session:
        await runs.release(session, claimed.id, 2, reason="agent_stopped", message="no loss")
    assert await worker.claim(stored.runs[1].id) is not None

    seen = await samples(http)

    assert seen["polar_runs", (("state", "queued"),)] == 2
    assert seen["polar_runs", (("state", "running"),)] == 1
    assert seen["polar_queued_runs", (("queue", stored.runs[0].queue),)] == 2
    assert seen["polar_queue_oldest_seconds", (("queue", stored.runs[0].queue),)] > 0
    lost = {labels: n for (name, labels), n in seen.items() if name == "polar_lost_attempts_total"}
    assert lost == {(("reason", "lease_lost"),): 1}
    assert seen["polar_agents", ()] == 1
    assert seen["polar_untold_runs", ()] == 2  # those that have begun


async def test_leases_that_nobody_renews_are_seen(
    http: httpx.AsyncClient,
    database: Database,
    worker: "Worker",
    submit: "Submitter",
    spec_of: "SpecMaker",
) -> None:
    await worker.announce()
    run = (await submit(spec_of(seeds=[0]))).runs[0]
    idle = await samples(http)
    await worker.claim(run.id)

    renewed = await samples(http)
    async with database.transaction() as session:
        await runs.renew(session, run.id, 1, lease_s=-5)
    overdue = await samples(http)

    assert ("polar_lease_left_seconds", ()) not in idle
    assert idle["polar_overdue_leases", ()] == renewed["polar_overdue_leases", ()] == 0
    assert 0 < renewed["polar_lease_left_seconds", ()] <= LEASE_S
    assert overdue["polar_lease_left_seconds", ()] <= -5
    assert overdue["polar_overdue_leases", ()] == 1


async def test_requests_are_timed_by_route_and_not_by_path(http: httpx.AsyncClient) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    await http.get(f"/api/v1/runs/{unknown}")
    await http.get("/api/v1/runs/%00")
    for name in range(10):
        await http.get(f"/nowhere/{name}")
    await http.request("BREW", "/nowhere")

    seen = await samples(http)

    counts = {labels: value for (name, labels), value in seen.items() if name.endswith("_count")}
    by_route = {
        (dict(labels)["method"], dict(labels)["route"], dict(labels)["status"]): value
        for labels, value in counts.items()
    }
    assert by_route["GET", "/runs/{run_id}", "404"] == 1
    assert by_route["GET", "/runs/{run_id}", "422"] == 1
    assert by_route["GET", "none", "404"] == 10
    assert by_route["other", "none", "404"] == 1


async def test_requests_that_fail_are_seen(api: FastAPI, http: httpx.AsyncClient) -> None:
    @api.get("/fails")
    def fail() -> None:
        raise RuntimeError("a mistake of ours")

    answer = await http.get("/fails")

    labels = (("method", "GET"), ("route", "/fails"), ("status", "500"))
    assert answer.status_code == 500
    assert (await samples(http))["polar_request_seconds_count", labels] == 1
