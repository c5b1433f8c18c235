"""Lists also take runs and experiments by what is said of what they belong to."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from service.storage import experiments
from service.storage.database import Database

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, StudyMaker, Trials, Worker

API = "/api/v1"


@pytest.fixture
async def names(
    http: httpx.AsyncClient,
    spec_of: "SpecMaker",
    study_of: "StudyMaker",
    trials: "Trials",
    worker: "Worker",
    database: Database,
) -> dict[str, str]:
    """What each id is called here.

    The experiments `alone` and `pair` share the run `shared`, and `pair` alone has `second`. The
    study `study` has the trial `trial`, an experiment whose run is `tried`.
    """
    await worker.announce()

    async def submit(path: str, spec: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = (await http.post(f"{API}/{path}", json=spec)).json()
        return made

    said = {"name": "First look", "note": "for the 100% review", "tags": {"paper": "one"}}
    alone = await submit("experiments", spec_of.as_json(seeds=[0], **said))
    pair = await submit("experiments", spec_of.as_json(seeds=[0, 1], name="Seeds", tags={"b": ""}))
    said = {"name": "Where is the band", "note": "of digits", "tags": {"paper": "two"}}
    study = await submit("studies", study_of(**said))
    trial = await trials.begin(UUID(study["id"]), beta=2.0)
    async with database.transaction() as session:
        (tried,) = await experiments.runs_of(session, trial.experiment_id)
    shared, second = [run["id"] for run in pair["runs"]]
    assert alone["runs"][0]["id"] == shared
    await http.patch(f"{API}/runs/{second}", json={"name": "odd", "tags": {"c": "3"}})
    return {
        alone["id"]: "alone", pair["id"]: "pair", str(trial.experiment_id): "trial",
        shared: "shared", second: "second", str(tried.id): "tried", study["id"]: "study",
    }  # fmt: skip


#: A query, and the names of the runs, the experiments and the studies that it takes.
TAKEN = [
    ("name=look", "shared", "alone", ""),
    ("name=seeds", "second shared", "pair", ""),
    ("name=LOOK%20seeds", "shared", "", ""),  # a word by each of the experiments that have it
    ("name=odd%20seeds", "second", "", ""),  # by itself and by its experiment
    ("name=band%20where", "tried", "trial", "study"),
    ("name=digits", "", "", ""),  # which stands in the note
    ("q=digits%20band", "tried", "trial", "study"),
    ("q=100%25", "shared", "alone", ""),
    ("q=10_%25", "", "", ""),
    ("q=review%20odd", "", "", ""),
    ("tag=paper", "shared tried", "alone trial", "study"),
    ("tag=paper=two", "tried", "trial", "study"),
    ("tag=paper=three", "", "", ""),
    ("tag=paper&tag=b", "shared", "", ""),
    ("tag=b&tag=c=3", "second", "", ""),
    ("tag=paper=one&name=seeds&q=look", "shared", "", ""),
    ("own_name=odd", "second", "", ""),
    ("own_name=%20Seeds%20", "", "pair", ""),
    ("own_name=seeds", "", "", ""),
    ("own_name=First", "", "", ""),
]


async def test_each_word_and_each_tag_may_be_of_the_row_its_experiments_or_its_study(
    http: httpx.AsyncClient, names: dict[str, str]
) -> None:
    taken = []
    for query, *_ in TAKEN:
        lists = [
            (await http.get(f"{API}/{kind}?{query}")).json()[kind]
            for kind in ("runs", "experiments", "studies")
        ]
        taken.append(
            (query, *(" ".join(sorted(names[row["id"]] for row in rows)) for rows in lists))
        )

    assert taken == TAKEN


async def test_the_page_of_runs_and_that_of_experiments_take_the_same_words(
    http: httpx.AsyncClient, names: dict[str, str]
) -> None:
    ids = {name: id for id, name in names.items()}

    for query, listed in (("q=band", "tried"), ("tag=b", "second"), ("q=review&tag=b", "shared")):
        shown = (await http.get(f"/runs?{query}")).text
        assert f'href="/runs/{ids[listed]}"' in shown
    shown = (await http.get("/experiments?q=band")).text

    assert f'href="/experiments/{ids["trial"]}"' in shown
    assert f'href="/experiments/{ids["pair"]}"' not in shown


async def test_what_was_deleted_says_nothing_of_a_run_that_stays(
    http: httpx.AsyncClient, names: dict[str, str], worker: "Worker"
) -> None:
    ids = {name: id for id, name in names.items()}
    await worker.claim(UUID(ids["shared"]))
    await worker.finish(UUID(ids["shared"]))

    deleted = await http.delete(f"{API}/experiments/{ids['alone']}")

    assert deleted.status_code == 200
    assert (await http.get(f"{API}/runs?tag=paper=one")).json()["runs"] == []
    assert len((await http.get(f"{API}/runs?tag=b")).json()["runs"]) == 2
