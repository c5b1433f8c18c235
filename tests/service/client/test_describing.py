"""Names, tags and notes through the client, and what its lists leave out."""

from typing import TYPE_CHECKING

import pytest

from service.client import AsyncClient, Client, ClientError, Refused
from service.client.answers import Experiment, Run, Study

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, StudyMaker, Worker


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


async def test_tags_of_a_call_come_besides_those_of_the_spec(
    served: str, spec_of: "SpecMaker", study_of: "StudyMaker"
) -> None:
    in_file = {"tags": {"a": "file", "b": "file"}, "note": "of the file"}
    with Client(served) as client:
        experiment = client.submit(spec_of.as_json(**in_file), tags={"a": "call"})
        study = client.create_study(study_of(**in_file), note="of the call")
        of_object = client.submit(spec_of(), tags={"a": ""}, note="n")

    assert (experiment.tags, experiment.note) == ({"a": "call", "b": "file"}, "of the file")
    assert (study.tags, study.note) == (in_file["tags"], "of the call")
    assert (of_object.tags, of_object.note) == ({"a": ""}, "n")


async def test_whatever_has_an_id_is_described(
    served: str, spec_of: "SpecMaker", study_of: "StudyMaker"
) -> None:
    with Client(served) as client:
        experiment = client.submit(spec_of(), tags={"gone": ""})
        study = client.create_study(study_of(name="old"))

        described = experiment.describe(tags={"good": "", "gone": None})
        run = client.describe(experiment.runs[0].id, name="best", note="n")
        renamed = client.describe(str(study.id), name="new")
        again = client.describe(renamed, name="new")
        with pytest.raises(Refused, match="this cannot be the key of a tag"):
            study.describe(tags={"a b": ""})

    assert isinstance(described, Experiment)
    assert described.tags == {"good": ""}
    assert isinstance(run, Run)
    assert run.title == "run best: queued"
    assert isinstance(renamed, Study)
    assert again == renamed


async def test_lists_leave_out_what_is_not_wanted(
    served: str, spec_of: "SpecMaker", study_of: "StudyMaker"
) -> None:
    async with AsyncClient(served) as client:
        experiment = await client.submit(spec_of(name="one", seeds=[0, 1]), tags={"k": "v=w"})
        await client.submit(spec_of(name="two", seeds=[0, 2]))
        study = await client.create_study(study_of(name="one"), note="two words")
        await client.describe(experiment.runs[1].id, tags={"x": "1", "y": ""})

        by_tag = [each.id async for each in client.experiments(tags={"k": "v=w"})]
        by_name = [each.name async for each in client.experiments(name="TWO", state="queued")]
        runs = [each.seed async for each in client.runs(tags={"x": None, "y": ""})]
        all_runs = {each.seed async for each in client.runs(dataset="digits", model="beta_vae")}
        studies = [each.id async for each in client.studies(q="words")]
        none = [each async for each in client.studies(state="failed")]

    assert (by_tag, by_name, runs) == ([experiment.id], ["two"], [1])
    assert all_runs == {0, 1, 2}
    assert (studies, none) == ([study.id], [])


async def test_a_name_means_its_owner_alone_although_runs_are_listed_by_it(
    served: str, spec_of: "SpecMaker"
) -> None:
    with Client(served) as client:
        experiment = client.submit(spec_of(name="both"))
        run = experiment.runs[0].id

        listed = [[each.id for each in client.runs(name="both")]]
        listed += [[each.id for each in client.runs(own_name="both")]]

        assert listed == [[run], []]
        assert client.meant("both", Run) == str(experiment.id)
        client.describe(run, name="both")
        assert client.meant("both", Run) == str(run)


async def test_what_is_to_be_deleted_needs_eight_digits(served: str, spec_of: "SpecMaker") -> None:
    with Client(served) as client:
        experiment = client.submit(spec_of())
        client.cancel(experiment.id)

        with pytest.raises(ClientError, match="too short for what is to be deleted; allowed"):
            client.delete(experiment.id.hex[:7])
        deleted = client.delete(experiment.id.hex[:8])

    assert deleted.id == experiment.id
