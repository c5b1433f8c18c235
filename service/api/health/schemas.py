"""What the API answers about itself."""

from typing import Literal

from service.api.schemas import ResponseModel


class Health(ResponseModel):
    status: Literal["ok", "ready"]
    #: The home whose stack this is, by its identity; none where `polar up` did not start it.
    home_id: str | None
