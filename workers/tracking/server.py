"""MLflow's REST interface, as far as the tracker needs it.

MLflow's own client is not used, for two reasons. It repeats requests without telling the caller,
and a repeated request to create a run makes two runs. And it costs 134 MiB and 1.8 s, where this
module costs 7 MiB and 0.1 s.
"""

from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import quote, urlsplit

import httpx
from pydantic import SecretStr

from service.addresses import reach

#: A running MLflow accepts connections at once, and stores 1,000 numbers in 0.4 s, or in 1.3 s if
#: it has them already.
CONNECT_S, ANSWER_S = 3.0, 30.0
#: MLflow's limit for the numbers in one request.
BATCH = 1000

_AWAY = {429, 502, 503, 504}

#: An answer of MLflow, as raw JSON because the format is MLflow's and we read only a few keys.
Answer: TypeAlias = dict[str, Any]


class MLflowAway(Exception):
    """MLflow does not answer, or answers that it cannot now; a later try may succeed."""


class MLflowRefused(Exception):
    """MLflow answers that it will not do this."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class MLflowServer:
    """An MLflow server; repeating any request but `create_run` changes nothing.

    Every method raises `MLflowAway` or `MLflowRefused`.
    """

    def __init__(self, url: str, token: SecretStr | None = None) -> None:
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        self._http = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/api/2.0/",
            headers=headers,
            timeout=timeout,
            **reach(url),
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
        """Id of the experiment with this name and these tags, which is created if necessary.

        An experiment that somebody deleted is restored, because it keeps its name for ever.
        """
        experiment = await self._find_experiment(name) or await self._create_experiment(name)
        experiment_id = str(experiment["experiment_id"])
        if experiment["lifecycle_stage"] == "deleted":
            await self._post("experiments/restore", experiment_id=experiment_id)
        present = {(tag["key"], tag["value"]) for tag in experiment.get("tags", [])}
        for key, value in tags.items() - present:
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
        """Id of the run whose tags include these marks, which is created if necessary."""
        # The run exists already if the tracker was killed before it stored the run's id.
        run_ids = await self._runs_tagged(experiment_id, marks)
        if run_ids:
            return run_ids[0]
        return await self.create_run(
            experiment_id, name=name, start_ms=start_ms, tags={**tags, **marks}
        )

    async def delete_doubles(
        self, experiment_id: str, marks: Mapping[str, str], run_id: str
    ) -> None:
        """Move all other runs with these marks to the trash.

        An MLflow that hung may have created a run for a request that the tracker had given up.
        """
        for double in set(await self._runs_tagged(experiment_id, marks)) - {run_id}:
            await self._post("runs/delete", run_id=double)

    async def remove_runs(self, marks: Mapping[str, str]) -> None:
        """Remove the files of all runs with these marks, and move the runs to the trash."""
        while run_ids := await self._runs_everywhere(marks):
            for run_id in run_ids:
                folder = (await self.file_root(run_id)).removesuffix("/artifacts")
                await self._call("DELETE", f"mlflow-artifacts/artifacts/{quote(folder)}")
                await self._post("runs/delete", run_id=run_id)

    async def _runs_everywhere(self, marks: Mapping[str, str]) -> list[str]:
        experiments = await self._experiments()
        found = [await self._runs_tagged(each["experiment_id"], marks) for each in experiments]
        return [run_id for run_ids in found for run_id in run_ids]

    async def remove_empty_experiments(self, tag: str) -> None:
        """Move the experiments that have this tag and no runs to the trash, under another name.

        Under its own name an experiment would be restored for the next run, and MLflow restores
        with it all runs that were ever moved to the trash.
        """
        for experiment in await self._experiments():
            is_ours = any(each["key"] == tag for each in experiment.get("tags", []))
            id = experiment["experiment_id"]
            if is_ours and not await self._runs_tagged(id, {}):
                name = f"{experiment['name'].removesuffix(f' (deleted, {id})')} (deleted, {id})"
                await self._post("experiments/update", experiment_id=id, new_name=name)
                await self._post("experiments/delete", experiment_id=id)

    async def run_ids(self) -> set[str]:
        """Ids of all runs but those in the trash."""
        experiment_ids = [each["experiment_id"] for each in await self._experiments()]
        ids: set[str] = set()
        token: str | None = ""
        while token is not None and experiment_ids:
            answer = await self._post(
                "runs/search", experiment_ids=experiment_ids, max_results=1000, page_token=token
            )
            ids |= {run["info"]["run_id"] for run in answer.get("runs", [])}
            token = answer.get("next_page_token")
        return ids

    async def _experiments(self) -> list[Answer]:
        """All experiments but those in the trash."""
        experiments: list[Answer] = []
        token: str | None = ""
        while token is not None:
            answer = await self._post("experiments/search", max_results=1000, page_token=token)
            experiments += answer.get("experiments", [])
            token = answer.get("next_page_token")
        return experiments

    async def _runs_tagged(self, experiment_id: str, tags: Mapping[str, str]) -> list[str]:
        """Ids of the runs with these tags, oldest first."""
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
        """Create a run; each call creates another run."""
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

    async def tags_of(self, run_id: str) -> dict[str, str]:
        """All tags of a run."""
        answer = await self._call("GET", "mlflow/runs/get", params={"run_id": run_id})
        return _tags(answer["run"])

    async def tags_of_runs(
        self, experiment_ids: Collection[str], run_ids: Collection[str]
    ) -> dict[str, dict[str, str]]:
        """All tags of these runs of these experiments, by run; those in the trash are left out."""
        if not run_ids:
            return {}
        wanted = ", ".join(f"'{run_id}'" for run_id in run_ids)
        answer = await self._post(
            "runs/search",
            experiment_ids=sorted(experiment_ids),
            filter=f"attributes.run_id IN ({wanted})",
            max_results=len(run_ids),
        )
        return {run["info"]["run_id"]: _tags(run) for run in answer.get("runs", [])}

    async def remove_tag(self, run_id: str, key: str) -> None:
        """Remove a tag that a run has."""
        await self._post("runs/delete-tag", run_id=run_id, key=key)

    async def log_dataset(self, run_id: str, dataset: Mapping[str, str]) -> None:
        """Record which dataset a run was trained on."""
        context = {"key": "mlflow.data.context", "value": "training"}
        datasets = [{"tags": [context], "dataset": dataset}]
        await self._post("runs/log-inputs", run_id=run_id, datasets=datasets)

    async def set_status(self, run_id: str, status: str, end_ms: int | None) -> None:
        """Record the status of a run, and when it ended if it has."""
        end = {} if end_ms is None else {"end_time": end_ms}
        await self._post("runs/update", run_id=run_id, status=status, **end)

    async def file_root(self, run_id: str) -> str:
        """Folder in which the server keeps the files of a run, as `put_file` takes it."""
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
        """Store a file of a run, in place of a file that has this name."""
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
            if refusal.code != "RESOURCE_ALREADY_EXISTS":  # somebody else was faster
                raise
        experiment = await self._find_experiment(name)
        if experiment is None:
            raise MLflowAway(f"the experiment {name} existed only for a moment")
        return experiment

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


def _tags(run: Answer) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in run["data"].get("tags", [])}


def _object(response: httpx.Response) -> Answer | None:
    """The body, which may be empty; None if it is not MLflow's, such as a page of a proxy."""
    if not response.content:
        return {}
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
