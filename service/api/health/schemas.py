"""Schema of the API's answers about itself."""

from typing import Literal

from service.api.schemas import ResponseModel


class Health(ResponseModel):
    status: Literal["ok", "ready"]
    #: Identity of the home whose stack this API belongs to; None unless `polar up` started it.
    home_id: str | None
    #: The versions of the package and of the science; None of an earlier version.
    code_version: str | None = None


class Readiness(Health):
    #: What keeps some agents from taking runs, while others take them.
    faults: list[str]
