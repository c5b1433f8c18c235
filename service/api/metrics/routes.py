"""/metrics: the service as Prometheus watches it."""

import os
from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.api.dependencies import Parts, Reading, Service
from service.api.door import Door
from service.api.problems import refusals
from service.processes import TOGETHER
from service.storage import gauges
from service.storage.gauges import Gauges

router = APIRouter(route_class=Door, tags=["health"])


class TextOfMetrics(Response):
    """The text format of Prometheus."""

    media_type = CONTENT_TYPE_PLAIN_0_0_4


@router.get("/metrics", response_class=TextOfMetrics, responses=refusals(503))
async def get_metrics(service: Service, session: Reading) -> Response:
    """Count runs, queues, lost attempts and what MLflow lacks; how long requests took."""
    rows = CollectorRegistry()
    rows.register(_Rows(await gauges.read(session)))
    return TextOfMetrics(generate_latest(rows) + generate_latest(_of_requests(service)))


def _of_requests(service: Parts) -> CollectorRegistry:
    """What this process has counted, or all processes of the API that count together."""
    if TOGETHER not in os.environ:
        return service.metrics
    of_all = CollectorRegistry()
    MultiProcessCollector(of_all)  # type: ignore[no-untyped-call]
    return of_all


class _Rows(Collector):
    def __init__(self, read: Gauges) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        read = self._read
        runs = GaugeMetricFamily("polar_runs", "Runs by state.", labels=["state"])
        for state, count in read.runs.items():
            runs.add_metric([state], count)
        queued = GaugeMetricFamily("polar_queued_runs", "Runs that wait.", labels=["queue"])
        oldest = GaugeMetricFamily(
            "polar_queue_oldest_seconds",
            "Seconds since the oldest run that waits was submitted.",
            labels=["queue"],
        )
        for queue, waiting in read.queues.items():
            queued.add_metric([queue], waiting.runs)
            oldest.add_metric([queue], waiting.oldest_s)
        lost = CounterMetricFamily(
            "polar_lost_attempts",
            "Attempts that were lost and that another followed.",
            labels=["reason"],
        )
        for reason, count in read.lost_attempts.items():
            lost.add_metric([reason], count)
        yield from (runs, queued, oldest, lost)
        yield GaugeMetricFamily("polar_agents", "Agents seen lately.", value=read.agents)
        if read.least_lease_s is not None:
            yield GaugeMetricFamily(
                "polar_lease_left_seconds",
                "Seconds until the first lease of a running run is over; renewals keep it up.",
                value=read.least_lease_s,
            )
        yield GaugeMetricFamily(
            "polar_overdue_leases",
            "Running runs whose lease is over.",
            value=read.overdue_leases,
        )
        yield GaugeMetricFamily(
            "polar_untold_runs",
            "Runs of which MLflow has yet to be told something.",
            value=read.untold_runs,
        )
