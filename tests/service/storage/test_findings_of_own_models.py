"""Findings of models of users' own wait for the machines that have their code."""

from typing import TYPE_CHECKING

from polar.spec.own_models import AllowedModels
from service.storage import findings
from service.storage.database import Database
from tests.service.storage.conftest import DIGEST, Ends

if TYPE_CHECKING:
    from tests.service.conftest import Worker

CODE = "ab" * 32
OWN = {"name": "own", "class": "lab:Net", "code": CODE}
LAB = AllowedModels(packages={"lab": CODE})


async def test_those_of_users_models_wait_for_a_machine_that_allows_their_code(
    ends: Ends, worker: "Worker"
) -> None:
    # A machine that did not allow the model took them, and they failed for good.
    run_id = await ends.end(model=OWN)
    await worker.announce(models=LAB)

    assert await ends.claim() is None
    await ends.ask(run_id)
    assert await ends.claim(codes=["cd" * 32]) is None
    claimed = await ends.claim(codes=[CODE])

    assert claimed is not None
    assert claimed.run_id == run_id


async def test_those_of_users_models_that_nobody_allows_fail_where_somebody_asks(
    ends: Ends, worker: "Worker"
) -> None:
    run_id = await ends.end(model=OWN)
    # With the code on one machine and the images on another they would wait for ever.
    await worker.announce(datasets={}, name="other", models=LAB)
    await ends.ask(run_id)

    assert await ends.claim() is not None  # and its maker says why it cannot make them


async def test_a_patient_maker_waits_for_nobody_whose_model_it_does_not_have(
    ends: Ends, worker: "Worker", database: Database
) -> None:
    # It was killed and began again at each renewal, because of findings that it could not make.
    await worker.announce(models=LAB)
    await ends.end()
    patient = await ends.claim()
    assert patient is not None
    await ends.ask(await ends.end(model=OWN))

    keeps_waiting = []
    for codes in ([], [CODE]):
        async with database.transaction() as session:
            keeps_waiting.append(
                await findings.renew(session, patient.run_id, 1, [DIGEST], 30.0, codes=codes)
            )

    assert keeps_waiting == [False, True]
