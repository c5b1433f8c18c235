"""Schemas of the API's answers about models and datasets."""

from datetime import datetime

from polar.spec.own_images import AddedImages
from service.api.schemas import JsonSchema, ResponseModel


class ModelView(ResponseModel):
    """A kind of model, with the JSON schema of each field: type, range, default."""

    name: str
    description: str
    #: Name of the field with the weight, which sweeps vary; None for a model without a weight.
    weight_name: str | None
    fields: JsonSchema


class Holder(ResponseModel):
    """An agent that has a dataset."""

    name: str
    host: str
    device: str
    seen_at: datetime


class DatasetView(ResponseModel):
    """A dataset, and the agents that have it."""

    name: str
    #: SHA-256 of the dataset as these agents have it; None if no agent has it.
    digest: str | None
    #: What is known of images that a user has added; None for published datasets.
    own: AddedImages | None = None
    agents: list[Holder]
