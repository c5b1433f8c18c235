"""Every number that a spec allows is borne by all that uses it, to the end of a study."""

import math
from collections.abc import AsyncIterator, Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from optuna.storages import RDBStorage
from procrastinate import App
from pydantic import ValidationError
from sqlalchemy import NullPool

from polar.spec import DATASETS, MODELS, StudySpec
from service.api.app import create_app
from service.embedded.postgres import Postgres
from service.settings import Settings
from service.storage.database import Database
from service.storage.states import StudyState
from service.studies.broker import Broker
from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.service.conftest import Worker
    from tests.service.studies.conftest import Lab

STUDIES = "/api/v1/studies"
SCHEMA = StudySpec.model_json_schema()
SAMPLERS = ("range", "tpe", "gp", "random", "grid", "nsga2", "qmc")
LIKELIHOODS = ("bernoulli", "gaussian")
#: Losses that a run in float32 could end with, and an ordinary loss.
MEASURED = (-1e38, -1.0, 0.0, 190.0, 1e38)

#: Axes from end to end of what their fields allow; the weight is called by its model's name.
SEARCHES: list[dict[str, Any]] = [
    {"weight": {"log_uniform": [1e-37, 1e-22], "points": 3}},
    {"weight": {"log_uniform": [1e-9, 1e6], "points": 3}},
    {"weight": {"uniform": [0, 1e6], "points": 3}},
    {"weight": {"integer": [0, 9_999]}},
    {"weight": {"choices": [0, 1e6, 5e-324]}},
    {"training.learning_rate": {"log_uniform": [1e-15, 1], "points": 1000}},
    {"training.learning_rate": {"uniform": [5e-324, 1], "points": 2}},
    {"training.steps": {"integer": [1, 10_000_000]}, "model.latent_dim": {"integer": [1, 1024]}},
    {"training.steps": {"choices": [1e3, 1e7]}},
    {"training.checkpoint_every": {"integer": [1, 10**15]}},
    {"training.batch_size": {"integer": [2, 1000]}, "weight": {"fixed": 1e6}},
]

Path = tuple[str | int, ...]


def spec_of(model: str, dataset: str, likelihood: str) -> dict[str, Any]:
    """A study that has every number, complete with its defaults."""
    base: dict[str, Any] = {
        "dataset": {"name": dataset},
        "model": {"name": model, "likelihood": {"name": likelihood}},
        "diagnostics": {"epochs": [1]},
        "downstream": {},
        "training": {"steps": 10**6},
    }
    if MODELS[model].weight_name:
        base["training"]["weight_warm_up"] = {}
    if model == "own":
        base["model"]["class"] = "my_lab:Net"
    if model == "ivae":
        base["downstream"] = {"allow_leak": True}
    spec = StudySpec.model_validate(
        {
            "base": base,
            "search": {"training.learning_rate": {"log_uniform": [1e-4, 1e-2]}},
            "objectives": [{"measure": "n_active", "target": 8}],
            "constraints": [{"measure": "reconstruction", "at_least": -1e38, "at_most": 1e38}],
            "pruner": "collapse",
            "budget": {"trials": 2, "hours": 1.0},
        }
    )
    return spec.model_dump(mode="json")


def numbers(place: Any, value: Any, path: Path = ()) -> Iterator[tuple[Path, float]]:  # noqa: ANN401
    """The lowest and the highest value of every number of a spec, by the keys that lead there."""
    if "$ref" in place:
        place = SCHEMA["$defs"][place["$ref"].rpartition("/")[2]]
    if "discriminator" in place:
        kind = place["discriminator"]["mapping"][value["name"]]
        yield from numbers({"$ref": kind}, value, path)
    elif "anyOf" in place:
        yield from numbers(place["anyOf"][0], value, path)
    elif "enum" in place and place.get("type") == "integer":
        yield from ((path, one) for one in place["enum"])
    elif place.get("type") in ("integer", "number"):
        yield from ((path, end) for end in ends(place))
    elif isinstance(value, list):
        item = place.get("items") or place["prefixItems"][0]
        for index, one in enumerate(value):
            yield from numbers(item, one, (*path, index))
    for name, field in place.get("properties", {}).items() if value is not None else ():
        yield from numbers(field, value[name], (*path, name))


def ends(place: dict[str, Any]) -> tuple[float, float]:
    """What a number of a JSON schema may be at least and at most; every one has both."""
    if place["type"] == "integer":
        low = place["minimum"]
        high = place["maximum"] if "maximum" in place else place["exclusiveMaximum"] - 1
        return low, high
    low = place["minimum"] if "minimum" in place else place["exclusiveMinimum"]
    high = place["maximum"] if "maximum" in place else place["exclusiveMaximum"]
    return (
        float(low) if "minimum" in place else math.nextafter(low, math.inf),
        float(high) if "maximum" in place else math.nextafter(high, -math.inf),
    )


def changed(spec: dict[str, Any], path: Path, value: float) -> dict[str, Any]:
    spec = deepcopy(spec)
    *parents, last = path
    place: Any = spec
    for key in parents:
        place = place[key]
    place[last] = value
    return spec


#: Each model with each dataset; both likelihoods of every model, and of every dataset.
KINDS = [
    (model, dataset, LIKELIHOODS[(i + j) % 2])
    for i, model in enumerate(MODELS)
    for j, dataset in enumerate(DATASETS)
]


@pytest.mark.parametrize(("model", "dataset", "likelihood"), KINDS)
def test_every_number_has_two_bounds_that_are_allowed_and_survive_text(
    model: str, dataset: str, likelihood: str
) -> None:
    spec = spec_of(model, dataset, likelihood)

    extremes = list(numbers(SCHEMA, spec))

    assert len(extremes) >= 2 * 28
    for path, end in extremes:
        kinds = refusals(changed(spec, path, end))
        # the field takes it; only together with other fields may it be too much or too little
        together = {"too_large", "too_small", "too_few", "one_seed", "not_doubled"}
        assert kinds <= together, (path, end, kinds)


def refusals(content: dict[str, Any]) -> set[str]:
    """The kinds of faults of a spec; one that is valid must come back from its own text."""
    try:
        spec = StudySpec.model_validate(content)
    except ValidationError as error:
        return {fault.type for fault in StudySpec.faults_of(error)}
    assert StudySpec.from_yaml(spec.to_yaml()) == spec
    assert StudySpec.from_yaml(spec.model_dump_json()) == spec
    assert spec.base.content_hash()
    return set()


@st.composite
def extreme_studies(draw: st.DrawFn) -> StudySpec:
    """A study of which a few numbers are the least or the most that is allowed."""
    # no agent of this test allows a model of a user's own
    model = draw(st.sampled_from(sorted(MODELS.keys() - {"own"})))
    spec = spec_of(model, "digits", draw(st.sampled_from(LIKELIHOODS)))
    # so many trials are another test's
    allowed = [one for one in numbers(SCHEMA, spec) if one[0] != ("budget", "trials")]
    for path, end in draw(st.lists(st.sampled_from(allowed), max_size=4)):
        spec = changed(spec, path, end)
    weight = f"model.{MODELS[model].weight_name}"
    axes = draw(st.sampled_from(SEARCHES))
    assume("weight" not in axes or MODELS[model].weight_name)
    spec["search"] = {name.replace("weight", weight): axis for name, axis in axes.items()}
    spec["sampler"] = draw(st.sampled_from(SAMPLERS))
    spec["objectives"] = draw(st.sampled_from([spec["objectives"], ["reconstruction"]]))
    spec["base"]["seeds"] = draw(st.sampled_from([spec["base"]["seeds"], [0, 2**32 - 1]]))
    spec["aggregate"] = draw(st.sampled_from(["mean", "confidence_bound"]))
    try:
        return StudySpec.model_validate(spec)
    except ValidationError:
        assume(condition=False)  # each number is allowed, but not together with the others
        raise


@pytest.fixture
def optuna_url(postgres: Postgres) -> Iterator[str]:
    """Optuna's tables have bounds of their own: a real database."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE optuna_of_bounds")
        yield postgres.url("optuna_of_bounds").replace("postgresql:", "postgresql+psycopg:")
        admin.execute("DROP DATABASE optuna_of_bounds WITH (FORCE)")


@pytest.fixture
async def extreme_lab(
    lab: "Lab", database: Database, app: App, worker: "Worker", optuna_url: str
) -> "Lab":
    await worker.announce(dict.fromkeys(DATASETS, "d" * 64))
    await worker.announce(dict.fromkeys(DATASETS, "d" * 64), device="cuda", name="gpu")
    lab.storage = RDBStorage(optuna_url, engine_kwargs={"poolclass": NullPool})
    lab.broker = Broker(database, app, lab.storage)
    return lab


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    api = create_app(settings)
    transport = httpx.ASGITransport(api)
    async with (
        api.router.lifespan_context(api),
        httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=OWNER
        ) as client,
    ):
        yield client


async def carry_out(lab: "Lab", study_id: UUID, measured: float) -> StudyState:
    """Broker and agents, by turns; every run ends with this reconstruction loss."""
    for _ in range(20):
        await lab.broker.advance(study_id)
        if (state := (await lab.study(study_id)).state) is not StudyState.RUNNING:
            return state
        for run in await lab.queued():
            await lab.begin(run)
            await lab.evaluate(run, 1, 0.5, reconstruction_nats=measured)
            result = lab.result(run, 0.5)
            final = result.final.model_copy(update={"reconstruction_nats": measured})
            await lab.end(run, result.model_copy(update={"final": final}))
    raise AssertionError("the study does not end")


@hypothesis_settings(
    max_examples=4,
    phases=set(Phase) - {Phase.shrink},  # each example is a whole study
    deadline=None,  # a database of a loaded machine
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(spec=extreme_studies(), measured=st.sampled_from(MEASURED))
async def test_a_study_at_the_bounds_of_its_numbers_comes_to_its_end(
    spec: StudySpec, measured: float, extreme_lab: "Lab", http: httpx.AsyncClient
) -> None:
    content = spec.model_dump(mode="json")
    plan = await http.post(f"{STUDIES}/validate", json=content)
    accepted = await http.post(STUDIES, json=content)
    assert accepted.status_code == 202, (accepted.text, content)
    study = accepted.json()

    state = await carry_out(extreme_lab, UUID(study["id"]), measured)

    assert plan.status_code == 200
    assert state is StudyState.COMPLETED
    links = study["links"]
    for name in ("self", "range", "pareto", "trials", "trials.csv", "trials.parquet"):
        assert (await http.get(links[name])).status_code == 200, name
    trials = (await http.get(links["trials"])).json()["trials"]
    experiment = await http.get(trials[0]["links"]["experiment"])
    assert experiment.status_code == 200
