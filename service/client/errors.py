"""What can go wrong between client and service."""

from uuid import UUID

from service.api.schemas import Problem


class ClientError(Exception):
    """Root of what can go wrong between client and service."""


class Unreachable(ClientError):
    """Nothing at this address answers as the service would."""


class Refused(ClientError):
    """The service refused the request; `problem` says why, fault by fault."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class OtherKind(ClientError):
    """The id is not that of an experiment or run, but of a study, or the other way round."""

    def __init__(self, id: UUID, kind: str) -> None:
        super().__init__(f"{id} is {kind}")
        self.id = id
