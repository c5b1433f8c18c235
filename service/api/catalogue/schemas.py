"""What the API answers about models and datasets."""

from datetime import datetime
from typing import Any

from service.api.schemas import ResponseModel


class ModelView(ResponseModel):
    """A kind of model, with the JSON schema of each field: type, range, default."""

    name: str
    description: str
    #: The field that holds the weight, which sweeps vary; none for a model without one.
    weight_name: str | None
    fields: dict[str, Any]


class Holder(ResponseModel):
    """An agent that has a dataset."""

    name: str
    host: str
    device: str
    seen_at: datetime


class DatasetView(ResponseModel):
    """A dataset, and who has it: nobody, when it has no digest."""

    name: str
    digest: str | None
    agents: list[Holder]
