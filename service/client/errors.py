"""The errors of the client."""

from service.api.schemas import Problem


class ClientError(Exception):
    """Root of the errors of the client."""


class Unreachable(ClientError):
    """Nothing answers at this address, or what answers is not the service that was meant."""


class StackChanges(Unreachable):
    """The stack of the home is starting or stopping at this moment."""


class Refused(ClientError):
    """The service refused the request; `problem` lists its faults."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class OtherKind(ClientError):
    """The id belongs to a study where an experiment or run is wanted, or the other way round."""

    def __init__(self, id: str, kind: str) -> None:
        super().__init__(f"{id} is {kind}")
        self.id = id
