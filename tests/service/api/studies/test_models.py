"""The known models of a study's problem; no broker is there, and results are made up."""

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from polar.errors import InvalidInput
from polar.records.certificates import ComparedModel
from polar.records.ranges import StudyRange
from polar.spec import StudySpec
from service.api.studies.models import envelope_of
from service.api.studies.schemas import StudyModels
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, StudyMaker, Submitter, Trials, Worker

STUDIES = "/api/v1/studies"


#: Gain over the mean image, divergence and regime of the models trained at beta 18 and at 22.
CLEAN, COLLAPSED = (34.5, 1.233, "clean"), (0.0, 0.0, "collapsed")
RATE: dict[str, Any] = {"training.learning_rate": {"log_uniform": [1e-4, 1e-2]}}


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


async def test_each_model_of_the_problem_is_compared_at_its_own_weight(
    http: httpx.AsyncClient,
    create: Create,
    trials: "Trials",
    worker: "Worker",
    submit: "Submitter",
    spec_of: "SpecMaker",
) -> None:
    id = await create()
    own = await trials.begin(id, beta=22.0)
    (collapsed,) = await worker.solve(own.experiment_id, *COLLAPSED)
    elsewhere = await submit(
        spec_of(model={"beta": 20.0}, training={"warm_start": [{"weight": 18.0, "steps": 30}]})
    )
    (clean,) = await worker.solve(elsewhere.experiment.id, *CLEAN)

    answer = await http.get(f"{STUDIES}/{id}/models")

    assert answer.status_code == 200, answer.text
    first, second = answer.json()["models"]
    trained = {"weight": 20.0, "seed": 0, "steps": 30, "warm_start": [18.0], "run_id": str(clean)}
    assert first == {
        **trained,
        "regime": "clean",
        "flaws": [],
        "is_own": False,
        "gain_nats": pytest.approx(34.5),
        "rise_nats": 1.233,
        "not_optimal": None,
    }
    assert (second["weight"], second["run_id"], second["is_own"]) == (22.0, str(collapsed), True)
    assert second["not_optimal"]["better"] == trained
    assert second["not_optimal"]["by_nats"] == pytest.approx(34.5 - 22 * 1.233)
    assert second["not_optimal"]["se_nats"] == pytest.approx(0.5**0.5)
    # a hundredth of the 130 nats that can be explained is allowed
    end = (34.5 - 1.3) / 1.233
    assert answer.json()["better_than_collapse_to"] == pytest.approx(end)


async def test_total_collapse_is_the_better_model_where_none_is_named(
    http: httpx.AsyncClient, create: Create, trials: "Trials", worker: "Worker"
) -> None:
    id = await create()
    await worker.solve((await trials.begin(id, beta=50.0)).experiment_id, *CLEAN)

    (model,) = (await http.get(f"{STUDIES}/{id}/models")).json()["models"]

    assert model["not_optimal"]["better"] is None
    assert model["not_optimal"]["by_nats"] == pytest.approx(50 * 1.233 - 34.5)


async def test_models_of_other_problems_and_runs_in_flight_are_not_listed(
    http: httpx.AsyncClient,
    create: Create,
    trials: "Trials",
    worker: "Worker",
    submit: "Submitter",
    spec_of: "SpecMaker",
) -> None:
    id = await create()
    await trials.begin(id, beta=22.0)
    other = await submit(spec_of(model={"beta": 18.0, "latent_dim": 3}))
    await worker.solve(other.experiment.id, *CLEAN)

    answer = await http.get(f"{STUDIES}/{id}/models")

    assert answer.json() == {
        "study_id": str(id),
        "models": [],
        "better_than_collapse_to": None,
        "next_page_token": None,
    }


async def test_pages_of_models_are_compared_with_all_that_are_known(
    http: httpx.AsyncClient, create: Create, trials: "Trials", worker: "Worker"
) -> None:
    id = await create()
    for beta, outcome in ((30.0, COLLAPSED), (22.0, COLLAPSED), (18.0, CLEAN)):
        await worker.solve((await trials.begin(id, beta=beta)).experiment_id, *outcome)
    whole = (await http.get(f"{STUDIES}/{id}/models")).json()

    pages, token = [], None
    while True:
        params = {"page_size": 1} | ({"page_token": token} if token else {})
        pages.append((await http.get(f"{STUDIES}/{id}/models", params=params)).json())
        if (token := pages[-1]["next_page_token"]) is None:
            break

    assert [page["models"] for page in pages] == [[model] for model in whole["models"]]
    assert [model["weight"] for model in whole["models"]] == [18.0, 22.0, 30.0]
    assert {page["better_than_collapse_to"] for page in pages} == {
        whole["better_than_collapse_to"]
    }
    assert pages[1]["models"][0]["not_optimal"]["better"]["weight"] == 18.0


@pytest.mark.parametrize("token", ["x", "18", "MTggMCBtYW55IGlk", "w6Q="])
async def test_what_is_no_token_of_a_page_of_models_is_refused(
    token: str, http: httpx.AsyncClient, create: Create
) -> None:
    id = await create()

    answer = await http.get(f"{STUDIES}/{id}/models", params={"page_token": token})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["type"] == "page_token"


async def test_a_study_of_another_field_has_no_models_to_compare(
    http: httpx.AsyncClient, create: Create
) -> None:
    id = await create(search=RATE, sampler="random")

    answer = await http.get(f"{STUDIES}/{id}/models")
    unknown = await http.get(f"{STUDIES}/{uuid4()}/models")

    assert (answer.status_code, unknown.status_code) == (404, 404)
    assert answer.json()["detail"] == (
        f"study {id} has no models to compare: the study sweeps training.learning_rate; allowed: "
        "its model's weight alone, because only models of the same network can be compared"
    )


MODEL = ComparedModel.model_validate(
    {
        "weight": 18.0,
        "seed": 0,
        "steps": 30,
        "regime": "clean",
        "is_own": True,
        "gain_nats": 34.5,
        "rise_nats": 1.233,
        "not_optimal": None,
    }
)


def models(*known: ComparedModel, better_to: float | None = None) -> StudyModels:
    return StudyModels(
        study_id=uuid4(),
        models=[*known],
        better_than_collapse_to=better_to,
        next_page_token=None,
    )


def found(right: tuple[float | None, float | None]) -> StudyRange:
    """A range whose band ends between these weights."""
    edges = [dict(zip(("low", "high"), ends, strict=True)) for ends in ((0.1, 0.2), right)]
    left, right_ = ({**edge, "confidence": None} for edge in edges)
    return StudyRange.model_validate(
        {
            "outcome": "found",
            "of": "clean",
            "steps": 30,
            "seeds": [0],
            "intervals": [],
            "envelope": {"left": left, "right": right_},
            "by_steps": [],
            "settled": None,
            "disagreeing": [],
            "weights": 2,
            "trainings": 2,
            "headline": "",
            "remarks": [],
            "fields": ["model.beta"],
        }
    )


@pytest.mark.parametrize(
    ("study_range", "better_to", "end"),
    [
        (None, 26.0, 39.0),
        (found((18.0, 22.0)), 26.0, 39.0),
        (found((18.0, 22.0)), 16.0, 33.0),  # the right edge lies farther
        (found((18.0, 22.0)), None, 33.0),
        (found((40.0, None)), 26.0, 60.0),  # the band is open
        (found((None, None)), 26.0, 39.0),
        (None, None, 105.0),  # all of the search, and a little more
        (None, 1e6, 105.0),
    ],
)
def test_the_axis_ends_where_lines_have_nothing_more_to_show(
    study_range: StudyRange | None,
    better_to: float | None,
    end: float,
    study_of: "StudyMaker",
) -> None:
    spec = StudySpec.model_validate(study_of())

    envelope = envelope_of(spec, study_range, models(MODEL, better_to=better_to))

    assert list(envelope.ends) == pytest.approx([0.0, end])
    assert envelope.models == (MODEL,)
    named = (envelope.model, envelope.dataset, envelope.weight_name)
    assert named == ("beta_vae", "digits", "beta")


def test_without_a_model_there_is_nothing_to_draw(study_of: "StudyMaker") -> None:
    with pytest.raises(InvalidInput, match="nothing to draw yet: no model of its problem"):
        envelope_of(StudySpec.model_validate(study_of()), None, models())


def test_nobody_knows_the_losses_of_a_users_model_at_other_weights(
    study_of: "StudyMaker",
) -> None:
    own = {"name": "own", "class": "lab:Net"}
    weight = {"model.weight": {"log_uniform": [0.1, 10]}}
    spec = StudySpec.model_validate(
        study_of(base={"dataset": {"name": "digits"}, "model": own}, search=weight)
    )

    with pytest.raises(InvalidInput, match="nobody knows how the penalty of an own model"):
        envelope_of(spec, None, models())


def test_other_fields_than_the_weight_are_refused(study_of: "StudyMaker") -> None:
    weight = {"model.beta": {"log_uniform": [0.1, 10]}}
    spec = StudySpec.model_validate(study_of(search=weight | RATE, sampler="random"))

    with pytest.raises(InvalidInput, match=r"sweeps model.beta, training.learning_rate; allowed"):
        envelope_of(spec, None, models(MODEL))
