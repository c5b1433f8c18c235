"""Which scope a request to MLflow needs.

What is not for tracking experiments is served to nobody, because it would let whoever may ask for
it act as the user who runs the server: the assistant runs commands, and others call any host.
"""

import re

from starlette.requests import Request

from service.api.door import SAFE
from service.api.problems import Refused
from service.tokens import Scope

#: They say only that MLflow is up, and which version of it.
OPEN = {"/health", "/version"}

_API = r"/(?:ajax-)?api/\d\.\d/mlflow"
_CLOSED = re.compile(
    r"(?:/(?:ajax-)?api/\d\.\d(?:/mlflow)?)?"
    r"/(?:(?:assistant|demo|gateway|gateway-proxy|jobs|prompt-optimization|scorers?|webhooks)"
    r"(?:/.*)?|.*/invoke)",
    re.DOTALL,
)
#: POSTs that only read; paths that are not known here need more.
_SEARCH = re.compile(
    rf"/graphql|{_API}/(?:"
    r"(?:datasets|experiments|issues|logged-models|runs|traces)/search"
    r"|experiments/search-datasets|registered-models/get-latest-versions"
    r"|traces/(?:batchGetInfos|calculate-filter-correlation|metrics))"
)
#: What a training writes, and a browser for notes and views; what is deleted here can be restored.
_RECORDING = re.compile(
    rf"{_API}/(?:experiments|logged-models|runs)(?:/.*)?|{_API}/upload-artifact"
    r"|/(?:ajax-)?api/2\.0/mlflow-artifacts/(?:artifacts|mpu)/.*",
    re.DOTALL,
)


def scope_of(request: Request) -> Scope | None:
    """What a request to MLflow needs; None if anybody may send it.

    Raises:
        Refused: nobody may send it.
    """
    path: str = request.scope["path"]
    if _CLOSED.fullmatch(path):
        detail = f"this server tracks experiments, and does not serve {path[:200]}"
        raise Refused(403, "not-served", detail)
    if path in OPEN and request.method in SAFE:
        return None
    if request.method in SAFE or (request.method == "POST" and _SEARCH.fullmatch(path)):
        return Scope.READ
    if request.method != "DELETE" and _RECORDING.fullmatch(path):
        return Scope.STEER
    return Scope.ADMIN
