"""Studies that an earlier version has answered: what it found is not lost."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import update

from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from service.storage import study_extensions
from service.storage.errors import Conflict
from service.storage.states import TrialState
from service.storage.study_tables import Trial

if TYPE_CHECKING:
    from tests.service.studies.conftest import Lab, SpecOf


async def answered(lab: "Lab", spec_of: "SpecOf", **fields: Any) -> UUID:  # noqa: ANN401
    """A study with a range, whose verdicts by other rules were left out of its trials."""
    study_id = await lab.submit(spec_of(**fields))
    await lab.carry_out(study_id)
    async with lab.database.transaction() as session:
        for trial in await lab.trials(study_id):
            assert isinstance(trial.measured, Measured)
            old = trial.measured.model_copy(update={"observations": ()})
            await session.execute(
                update(Trial)
                .where(Trial.study_id == study_id, Trial.number == trial.number)
                .values(measured=old)
            )
    return study_id


@pytest.mark.parametrize("by", [{"trials": 1}, {"training_steps": 9000}])
async def test_a_range_of_an_earlier_version_is_not_extended(
    lab: "Lab", spec_of: "SpecOf", by: dict[str, Any]
) -> None:
    study_id = await answered(lab, spec_of, sampler="range")
    found = (await lab.study(study_id)).range

    with pytest.raises(Conflict, match=r"rules of an earlier version.*allowed: a new study"):
        async with lab.database.transaction() as session:
            await study_extensions.extend(session, study_id, **by)
    with pytest.raises(Conflict, match="rules of an earlier version"):
        async with lab.database.transaction() as session:
            await study_extensions.retry_failed(session, study_id)

    await lab.broker.advance(study_id)
    assert isinstance(found, StudyRange)
    assert found.trainings == 3
    assert (await lab.study(study_id)).range == found


async def test_an_answer_stays_until_all_its_trials_are_tried_again(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await answered(lab, spec_of, concurrency=1)
    found = (await lab.study(study_id)).range

    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, trials=1)
    with_another = await lab.carry_out(study_id)
    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, seeds=[7])
    anew = await lab.carry_out(study_id)

    states = [trial.state for trial in await lab.trials(study_id)]
    assert with_another.range == found
    assert states == [TrialState.SUPERSEDED] * 4 + [TrialState.COMPLETED] * 4
    assert isinstance(anew.range, StudyRange)
    assert (anew.range.seeds, anew.range.trainings) == ((0, 1, 7), 12)
