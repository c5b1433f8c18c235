"""Deleted studies, which the broker removes from Optuna."""

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import optuna
import pytest
from sqlalchemy import delete

from service.storage import deletions
from service.storage.errors import NotFound
from service.storage.study_tables import Study

if TYPE_CHECKING:
    from tests.service.studies.conftest import Lab, SpecOf


async def test_a_deleted_study_disappears_from_optuna_and_no_other_does(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    deleted, kept = [await lab.submit(spec_of(name=name)) for name in ("deleted", "kept")]
    for study_id in (deleted, kept):
        await lab.carry_out(study_id)
    async with lab.database.transaction() as session:
        await deletions.delete_study(session, deleted)

    for _ in range(2):
        await lab.broker.advance_all()

    assert optuna.get_all_study_names(lab.storage) == [f"kept {kept}"]
    async with lab.database.transaction() as session:
        assert list(await deletions.in_optuna(session)) == []
    with pytest.raises(NotFound):
        await lab.study(deleted)


async def test_a_study_that_optuna_never_had_is_no_hindrance(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of())
    async with lab.database.transaction() as session:
        session.add(deletions.Deletion(id=uuid4(), kind=deletions.STUDY, in_optuna=True))

    await lab.broker.advance_all()

    assert len(await lab.trials(study_id)) > 0
    async with lab.database.transaction() as session:
        assert list(await deletions.in_optuna(session)) == []


async def test_a_study_that_is_deleted_during_a_pass_ends_it_for_this_study_alone(
    lab: "Lab",
    spec_of: "SpecOf",
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = [await lab.submit(spec_of()) for _ in range(2)]
    advance = lab.broker.advance

    async def deleted_before(study_id: UUID) -> None:
        if study_id == first:
            async with lab.database.transaction() as session:
                await session.execute(delete(Study).where(Study.id == first))
        await advance(study_id)

    monkeypatch.setattr(lab.broker, "advance", deleted_before)

    await lab.broker.advance_all()

    assert len(await lab.trials(second)) > 0
    assert "cannot advance" not in caplog.text
