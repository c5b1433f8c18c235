"""MLflow's REST interface, as far as the tracker needs it.

Not MLflow's own client, for two reasons. It repeats requests behind the caller's back, and
creating a run twice makes two. And it costs 134 MiB and 1.8 s where this costs 7 MiB and 0.1 s.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import quote, urlsplit

import httpx

from service.addresses import reach

#: An MLflow that is there says so at once; 1,000 numbers take it 0.4 s, or 1.3 s when it has them.
CONNECT_S, ANSWER_S = 3.0, 30.0
#: MLflow's limit for the numbers in one request.
BATCH = 1000

_AWAY = {429, 502, 503, 504}

#: An answer of MLflow. Raw JSON, because it is MLflow's, of which we read a few keys.
Answer: TypeAlias = dict[str, Any]


class MLflowAway(Exception):
    """MLflow does not answer, or says that it cannot now: try again later."""


class MLflowRefused(Exception):
    """MLflow answers that it will not do this."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class MLflowServer:
    """One MLflow server; everything but `create_run` may be repeated and changes nothing then.

    Every method raises `MLflowAway` or `MLflowRefused`.
    """

    def __init__(self, url: str) -> None:
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        self._http = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/api/2.0/", timeout=timeout, **reach(url)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """The id of the experiment of this name, with these tags; made if there is none.

        One that somebody deleted is brought back, since it keeps its name for ever.
        """
        found = await self._find_experiment(name) or await self._create_experiment(name)
        experiment_id = str(found["experiment_id"])
        if found["lifecycle_stage"] == "deleted":
            await self._post("experiments/restore", experiment_id=experiment_id)
        there = {(tag["key"], tag["value"]) for tag in found.get("tags", [])}
        for key, value in tags.items() - there:
            await self._post(
                "experiments/set-experiment-tag", experiment_id=experiment_id, key=key, value=value
            )
        return experiment_id

    async def begin_run(
        self,
        experiment_id: str,
        marks: Mapping[str, str],
        *,
        name: str,
        start_ms: int,
        tags: Mapping[str, str],
    ) -> str:
        """The id of the run whose tags have these marks; begun if there is none."""
        # There is one already if we were killed before its id was stored.
        found = await self._runs_tagged(experiment_id, marks)
        if found:
            return found[0]
        return await self.create_run(
            experiment_id, name=name, start_ms=start_ms, tags={**tags, **marks}
        )

    async def delete_doubles(
        self, experiment_id: str, marks: Mapping[str, str], run_id: str
    ) -> None:
        """Move all other runs with these marks to the trash.

        An MLflow that was stuck may have begun a run for a request that we had given up.
        """
        for double in set(await self._runs_tagged(experiment_id, marks)) - {run_id}:
            await self._post("runs/delete", run_id=double)

    async def _runs_tagged(self, experiment_id: str, tags: Mapping[str, str]) -> list[str]:
        """The ids of the runs with these tags, the oldest first."""
        answer = await self._post(
            "runs/search",
            experiment_ids=[experiment_id],
            filter=" AND ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items()),
            order_by=["attributes.start_time ASC"],
        )
        return [run["info"]["run_id"] for run in answer.get("runs", [])]

    async def create_run(
        self, experiment_id: str, *, name: str, start_ms: int, tags: Mapping[str, str]
    ) -> str:
        """Begin a run; each call begins another one."""
        answer = await self._post(
            "runs/create",
            experiment_id=experiment_id,
            run_name=name,
            start_time=start_ms,
            tags=_pairs(tags),
        )
        return str(answer["run"]["info"]["run_id"])

    async def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Mapping[str, Any]] = (),
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add numbers, parameters (which never change) and tags (which may)."""
        await self._post(
            "runs/log-batch",
            run_id=run_id,
            metrics=metrics,
            params=_pairs(parameters or {}),
            tags=_pairs(tags or {}),
        )

    async def log_dataset(self, run_id: str, dataset: Mapping[str, str]) -> None:
        """Say which data a run was trained on."""
        context = {"key": "mlflow.data.context", "value": "training"}
        datasets = [{"tags": [context], "dataset": dataset}]
        await self._post("runs/log-inputs", run_id=run_id, datasets=datasets)

    async def set_status(self, run_id: str, status: str, end_ms: int | None) -> None:
        """Say where a run stands, and when it ended if it has."""
        end = {} if end_ms is None else {"end_time": end_ms}
        await self._post("runs/update", run_id=run_id, status=status, **end)

    async def file_root(self, run_id: str) -> str:
        """Where the server keeps the files of a run; for `put_file`."""
        run = await self._call("GET", "mlflow/runs/get", params={"run_id": run_id})
        uri = urlsplit(str(run["run"]["info"]["artifact_uri"]))
        if uri.scheme != "mlflow-artifacts":
            raise MLflowRefused(
                "NO_ARTIFACTS",
                f"this server stores files at {uri.scheme or 'a local path'}, where only its "
                "clients can put them; start it with --serve-artifacts",
            )
        return uri.path.lstrip("/")

    async def put_file(self, root: str, name: str, content: bytes) -> None:
        """Store a file of a run, in place of one that has this name."""
        path = f"mlflow-artifacts/artifacts/{quote(f'{root}/{name}')}"
        await self._call("PUT", path, content=content)

    async def _find_experiment(self, name: str) -> Answer | None:
        try:
            answer = await self._call(
                "GET", "mlflow/experiments/get-by-name", params={"experiment_name": name}
            )
        except MLflowRefused as refusal:
            if refusal.code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return dict(answer["experiment"])

    async def _create_experiment(self, name: str) -> Answer:
        try:
            await self._post("experiments/create", name=name)
        except MLflowRefused as refusal:
            if refusal.code != "RESOURCE_ALREADY_EXISTS":  # somebody was faster
                raise
        found = await self._find_experiment(name)
        if found is None:
            raise MLflowAway(f"the experiment {name} was there for a moment only")
        return found

    async def _post(self, method: str, **content: object) -> Answer:
        return await self._call("POST", f"mlflow/{method}", json=content)

    async def _call(self, verb: str, path: str, **request: Any) -> Answer:  # noqa: ANN401
        try:
            response = await self._http.request(verb, path, **request)
        except httpx.TransportError as error:
            raise MLflowAway(f"MLflow is away: {type(error).__name__} {error}") from error
        if response.status_code in _AWAY:
            raise MLflowAway(f"MLflow is away: it answers {response.status_code}")
        answer = _object(response)
        if answer is None or not response.is_success:
            raise MLflowRefused(
                (answer or {}).get("error_code", f"HTTP {response.status_code}"),
                (answer or {}).get("message", response.text[:200]),
            )
        return answer


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _object(response: httpx.Response) -> Answer | None:
    """The body, which may be empty; None for one that is not MLflow's, such as a proxy's page."""
    if not response.content:
        return {}
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
