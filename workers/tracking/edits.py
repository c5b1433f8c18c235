"""Takes names, tags and notes that people have edited in MLflow back into our rows."""

import logging
import time
from collections.abc import Iterator, Mapping
from typing import TypeVar
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec.fields import Name
from service.descriptions import MOST_TAGS, Note, TagChanges
from service.storage import telling, tracking
from service.storage.database import Database
from service.storage.descriptions import describe
from service.storage.errors import NotFound
from service.storage.study_tables import Study
from service.storage.tables import Run
from service.storage.telling import Said
from workers.tracking.description_entries import (
    NOTE,
    SAYS,
    edited_name,
    edits,
    edits_to_take,
    former_tags,
    is_cut,
    name_to_take,
)
from workers.tracking.server import MLflowRefused, MLflowServer

#: Seconds between two looks for edits.
LOOK_S = 60.0
#: How many runs are looked at, and how many studies, the newest first.
NEWEST = 200

R = TypeVar("R", Run, Study)

_log = logging.getLogger(__name__)
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_NOTE: TypeAdapter[str] = TypeAdapter(Note)
_TAG: TypeAdapter[dict[str, str | None]] = TypeAdapter(TagChanges)


class Edits:
    """What people edit in MLflow; where they and our rows have both changed, our rows win."""

    def __init__(self, database: Database, mlflow: MLflowServer) -> None:
        self._database = database
        self._mlflow = mlflow
        self._look_at = time.monotonic() + LOOK_S
        self._writes: int | None = None
        #: What our rows have no room for, and was logged.
        self._left: set[tuple[UUID, str]] = set()

    async def due(self) -> dict[UUID, Mapping[str, str]]:
        """The tags in MLflow of the newest runs and studies that look edited, by id.

        It is empty between two looks. Where MLflow's database is beside ours, MLflow is asked only
        after something was written there, because a server that is asked cannot rest.
        """
        if time.monotonic() < self._look_at:
            return {}
        self._look_at = time.monotonic() + LOOK_S
        async with self._database.transaction() as session:
            writes = await tracking.writes_of_mlflow(session)
            if writes is not None and writes == self._writes:
                return {}
            known = await tracking.newest_in_mlflow(session, NEWEST)
        run_ids = [each.mlflow_run_id for each in known]
        experiment_ids = {each.mlflow_experiment_id for each in known}
        try:
            tags = await self._mlflow.tags_of_runs(experiment_ids, run_ids)
        except MLflowRefused as error:
            _log.error("MLflow does not say what was edited there: %s", error)
            return {}
        self._writes = writes
        return {
            each.id: tags[each.mlflow_run_id]
            for each in known
            if _is_edited(tags.get(each.mlflow_run_id, {}))
        }

    async def take(self, id: UUID, tags: Mapping[str, str]) -> bool:
        """Take back what was edited of a run or a study whose MLflow run has these tags.

        Returns whether its row has changed. MLflow is then to be told of it again, so that both
        say the same.
        """
        if not _is_edited(tags):
            return False
        async with self._database.transaction() as session:
            row = await _locked(session, Run, id) or await _locked(session, Study, id)
            if row is None:
                return False
            said = (
                await telling.said_of(session, id)
                if isinstance(row, Run)
                else telling.said_of_study(row)
            )
            taken = edits_to_take(tags, said)
            note = self._note(row, taken.pop(NOTE, None), tags, said)
            changes = dict(self._tags(row, taken))
            name = self._name(row, name_to_take(tags, row.name))
            if not changes and note is None and name is None:
                return False
            try:
                await describe(session, type(row), id, name=name, tags=changes, note=note)
            except NotFound:  # it is deleted
                return False
        what = type(row).__name__.lower()
        _log.info("%s %s was edited in MLflow", what, id, extra={what: id})
        return True

    async def remove_former_tags(self, mlflow_run_id: str, said: Said) -> None:
        """Remove the tags that MLflow was told and that nobody says any more; all others stay."""
        for key in former_tags(await self._mlflow.tags_of(mlflow_run_id), said):
            await self._mlflow.remove_tag(mlflow_run_id, key)

    def _name(self, row: Run | Study, edited: str | None) -> str | None:
        """The new name of our row; None for no edit."""
        if edited is None:
            return None
        try:
            return _NAME.validate_python(edited)
        except ValidationError:
            self._leave(row, "the name does not fit")
            return None

    def _tags(
        self, row: Run | Study, edited: Mapping[str, str | None]
    ) -> Iterator[tuple[str, str | None]]:
        """The edits of tags that our row can take; those that remove tags make room first."""
        kept = set(row.tags)
        for key, value in sorted(edited.items(), key=lambda edit: edit[1] is not None):
            if value is None:
                if key in kept:  # otherwise an experiment says it
                    kept.remove(key)
                    yield key, None
            elif not _fits(key, value):
                self._leave(row, f"the tag {key[:100]!r} does not fit")
            elif key not in kept and len(kept) >= MOST_TAGS:
                self._leave(row, f"the tag {key!r} would be too many")
            else:
                kept.add(key)
                yield key, value

    def _note(
        self, row: Run | Study, edited: str | None, tags: Mapping[str, str], said: Said
    ) -> str | None:
        """The new note of our row, without the notes of experiments below it; None for no edit."""
        if edited is None:
            return None
        if is_cut(tags[SAYS], said):
            self._leave(row, "of the note, MLflow has the beginning alone")
            return None
        of_others = "\n\n".join(said.notes[1:] if row.note else said.notes).strip()
        note = edited.removesuffix(of_others).strip()
        try:
            _NOTE.validate_python(note)
        except ValidationError:
            self._leave(row, "the note does not fit")
            return None
        return None if note == row.note.strip() else note

    def _leave(self, row: Run | Study, why: str) -> None:
        if (row.id, why) not in self._left:
            self._left.add((row.id, why))
            what = type(row).__name__.lower()
            _log.warning(
                "an edit in MLflow of %s %s stays there alone: %s",
                what,
                row.id,
                why,
                extra={what: row.id},
            )


def _is_edited(tags: Mapping[str, str]) -> bool:
    return bool(edits(tags)) or edited_name(tags) is not None


async def _locked(session: AsyncSession, kind: type[R], id: UUID) -> R | None:
    """Keep others from changing the row until the end of the transaction."""
    return await session.get(kind, id, with_for_update={"key_share": True})


def _fits(key: str, value: str) -> bool:
    try:
        _TAG.validate_python({key: value})
    except ValidationError:
        return False
    return True
