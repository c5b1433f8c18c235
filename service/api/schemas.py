"""Schemas that all answers of the API share; clients read answers with the same schemas."""

from datetime import datetime
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from polar.spec.faults import Fault
from polar.spec.fields import Name, SpecPart
from polar.spec.submitted import SubmittedSpec
from service.descriptions import Note, TagChanges

S = TypeVar("S", bound=SubmittedSpec)

#: Relation -> address: a path of this API, or a whole URL of MLflow or optuna-dashboard. The
#: address in MLflow is None until MLflow knows the run or the study.
Links = dict[str, str | None]


#: A spec as it is stored, complete with its defaults: raw JSON, because a spec that an earlier
#: version accepted is sent as well where this version would refuse it.
StoredSpec = dict[str, Any]
#: A JSON schema: raw JSON by its nature.
JsonSchema = dict[str, Any]


def spec_alone(kind: type[S], submitted: SubmittedSpec) -> S:
    """The spec of what was submitted, and validated, with other fields besides."""
    fields = {name: getattr(submitted, name) for name in kind.model_fields}
    set_fields = submitted.model_fields_set & fields.keys()
    return cast("S", kind.model_construct(set_fields, **fields))  # typed by pydantic's plugin


class ResponseModel(BaseModel):
    """Base of all answers: frozen, and readable from the rows of tables."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class NewDescription(SpecPart):
    """What an experiment, a run or a study is to be called, tagged with, and said of it.

    Fields that are left out, and tags that are not named, stay as they are.
    """

    name: Name = ""
    #: Key -> value; a tag whose value is null is removed.
    tags: TagChanges = Field({})
    note: Note = ""

    def changes(self) -> dict[str, Any]:
        """What the client sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class DeletionView(ResponseModel):
    """What was deleted; its files, and what MLflow and Optuna have of it, go within minutes."""

    id: UUID
    kind: Literal["experiment", "run", "study"]
    deleted_at: datetime


class Problem(ResponseModel):
    """Why a request was refused (RFC 9457), with all faults of a spec at once."""

    #: `urn:polar:problem:` followed by a stable word, such as `invalid-spec`.
    type: str
    title: str
    status: int
    detail: str
    instance: str
    #: Identifies this refusal in the log of the service.
    request_id: str
    errors: list[Fault]


class Figure(ResponseModel):
    name: str
    url: str
