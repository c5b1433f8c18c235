"""What all requests of the client share: the connection, ids, pages, and waiting."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar, cast
from uuid import UUID, uuid4

from polar.spec.own_models import OTHER_CODE, code_installed
from polar.spec.submitted import SubmittedSpec
from service.api.experiments.schemas import ExperimentPage
from service.api.runs.schemas import RunPage
from service.api.studies.schemas import StudyModels, StudyPage, TrialPage
from service.client.answers import Answer
from service.client.clock import Clock
from service.client.connection import Connection
from service.client.errors import ClientError, Refused
from service.ids import allowed, digits_of, is_whole

if TYPE_CHECKING:
    from service.client.client import Client

#: Seconds in which every agent has looked at the code of the models that it allows.
AGENTS_LOOK_S = 20.0
IS_JSON = {"Content-Type": "application/json"}

#: A spec as it is read from YAML or JSON, or as `polar.ExperimentSpec` and `polar.spec.StudySpec`.
Spec = Mapping[str, Any] | SubmittedSpec

P = TypeVar("P", ExperimentPage, RunPage, StudyModels, StudyPage, TrialPage)
K = TypeVar("K", bound=Answer)


class Requests:
    """Base of `Client`: asks one service, and fetches its answers anew."""

    def __init__(
        self,
        url: str | None = None,
        *,
        home: Path | None = None,
        pauses_s: Sequence[float] | None = None,
        token: str | None = None,
    ) -> None:
        """Connect to the service at `url`, or to the stack of `home`.

        If neither is named, the environment decides: POLAR_URL, or else the home POLAR_HOME, or
        else the home `~/.polar`. For a home, the client makes sure that it is the home's own stack
        that answers; for a URL, any service will do.

        Args:
            url: Address of the service.
            home: Folder of the stack.
            pauses_s: Seconds before the second, third, ... try of a request that nobody answered;
                by default `service.client.connection.PAUSES_S`.
            token: Token to send; by default that of the home's owner if the service is a home's
                stack, or POLAR_TOKEN.

        Raises:
            InvalidInput: the URL is not valid, or the home does not exist or cannot be read.
            Unreachable: no stack runs in the home.
        """
        self._connection = Connection(url, home, pauses_s, token)
        self.url = self._connection.url
        self.sends_other_token = self._connection.sends_other_token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; without this they close when the program ends."""
        self._connection.close()

    def wait(self, answer: K, timeout_s: float | None = None) -> K:
        """Fetch an experiment, a run or a study once it has ended, whether well or not.

        Args:
            answer: What to wait for, as it was fetched.
            timeout_s: Seconds to wait at most; None for any time.

        Raises:
            TimeoutError: it goes on when the time is over; it is not cancelled.
        """
        clock = Clock(timeout_s)
        while not answer.has_ended:
            clock.pause(f"{type(answer).__name__.lower()} {answer.id} goes on")
            answer = self.refresh(answer)
        return answer

    def refresh(self, answer: K) -> K:
        """Fetch an experiment, a run or a study anew."""
        return self._ask(type(answer), "GET", path_of(answer))

    def _ask(self, kind: type[K], method: str, path: str, **request: Any) -> K:  # noqa: ANN401
        return self._connection.ask(kind, method, path, **request).of(cast("Client", self))

    def _submit(
        self,
        kind: type[K],
        path: str,
        spec: Spec,
        key: str | None,
        said: Mapping[str, Any],
        **params: Any,  # noqa: ANN401
    ) -> K:
        """Send a spec; agents that have yet to look at the code of its model are waited for."""
        headers = {**IS_JSON, "Idempotency-Key": key or uuid4().hex}
        content, end = as_json(_beside(spec, said)), time.monotonic() + AGENTS_LOOK_S
        while True:
            try:
                return self._ask(
                    kind, "POST", path, content=content, headers=headers, params=params
                )
            except Refused as refused:
                is_other_code = any(fault.type == OTHER_CODE for fault in refused.problem.errors)
                if not is_other_code or time.monotonic() > end:
                    raise
            time.sleep(1)

    def _pages(self, page: type[P], path: str, **params: Any) -> Iterator[P]:  # noqa: ANN401
        while True:
            answer = self._connection.ask(page, "GET", path, params=params)
            yield answer
            if answer.next_page_token is None:
                return
            params["page_token"] = answer.next_page_token

    def _first(self, id: str, *kinds: type[K]) -> K | None:
        """Fetch what has this id, or the only one of these kinds whose id begins so.

        Raises:
            ClientError: several begin so.
        """
        looked_up = (self._look_up(kind, id) for kind in kinds)
        if is_whole(id):  # nobody else has a whole id
            return next(filter(None, looked_up), None)
        found = list(filter(None, looked_up))
        if len(found) > 1:
            said = [said_of(each.id, each.title, each.created_at) for each in found]
            raise ClientError("\n  ".join([f"{id} is how more than one id begins:", *said]))
        return found[0] if found else None

    def _look_up(self, kind: type[K], id: str) -> K | None:
        try:
            view = self._ask(kind, "GET", f"/{kind.RESOURCE}/{id}")
        except Refused as refused:
            if refused.problem.status != 404:
                raise
            return None
        return view if begins_so(view, id) else None


def begins_so(view: Answer, id: str) -> bool:
    """Whether the id of an answer begins so; the service also answers to a name that looks so."""
    return view.id.hex.startswith(id.replace("-", "").lower())


def said_of(id: UUID, title: str, submitted: datetime) -> str:
    """A line by which people choose among what has one name, or ids that begin alike."""
    return f"{id}  {title}, submitted {submitted.astimezone():%Y-%m-%d %H:%M:%S %z}"


def id_of(id: UUID | str | Answer) -> str:
    """The id, or that of an answer, or the digits with which one begins.

    Raises:
        ClientError: no id begins so.
    """
    if isinstance(id, Answer):
        return str(id.id)
    if isinstance(id, UUID):
        return str(id)
    with suppress(ValueError, AttributeError, TypeError):
        return str(UUID(id.strip()))
    digits = digits_of(id.strip()) if isinstance(id, str) else None
    if digits is None:
        raise ClientError(
            f"{id!r} is not an id; allowed: {allowed()}; see `polar list` and `polar study list`"
        )
    return digits


class Filters(TypedDict, total=False):
    """What the items of a list have in common; all of it holds for each.

    A run is also listed by the names, notes and tags of the experiments that have it, and an
    experiment by those of the study whose trial it is.
    """

    #: Such as `succeeded`; of a study, such as `completed`.
    state: str
    #: Words that the name contains, in any order and case.
    name: str
    #: The whole name of the item itself.
    own_name: str
    #: Words that the name or the note contains.
    q: str
    dataset: str
    #: The kind of model, or the class of an own model.
    model: str
    #: The value of each tag; None where it does not matter.
    tags: Mapping[str, str | None]


def parameters_of(filters: Filters) -> dict[str, Any]:
    """The parameters of a request for a list."""
    params: dict[str, Any] = {**filters}
    tags = params.pop("tags", {})
    if tags:
        params["tag"] = [key if value is None else f"{key}={value}" for key, value in tags.items()]
    return params


def path_of(view: Answer) -> str:
    return f"/{view.RESOURCE}/{view.id}"


def _beside(spec: Spec, said: Mapping[str, Any]) -> Spec:
    """The spec with tags and a note; tags that it has already stay, unless they are given anew."""
    given = {name: value for name, value in said.items() if value}
    if isinstance(spec, SubmittedSpec):
        spec = spec.model_dump(mode="json")
    if not given or not isinstance(spec, Mapping):
        return spec
    tags = spec.get("tags")
    if isinstance(tags, Mapping) and "tags" in given:
        given["tags"] = {**tags, **given["tags"]}
    return {**spec, **given}


def as_json(spec: Spec) -> str:
    """The spec as JSON, unchecked: the service refuses the dates and NaN that YAML allows.

    A model of the user's own is named with the digest of its code on this machine, if it is
    installed here. The service knows only the code that agents announced last, and would complete
    the spec with it although the code has been changed since.
    """
    if isinstance(spec, SubmittedSpec):
        spec = spec.model_dump(mode="json")
    try:
        return json.dumps(_with_code(spec), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise ClientError(f"the spec cannot be written as JSON: {error}") from error


def _with_code(spec: Any) -> Any:  # noqa: ANN401
    if not isinstance(spec, Mapping):
        return spec
    if "base" in spec:
        return {**spec, "base": _with_code(spec["base"])}
    model = spec.get("model")
    if not isinstance(model, Mapping) or model.get("name") != "own" or model.get("code"):
        return spec
    code = code_installed(str(model.get("class", model.get("kind"))))
    return {**spec, "model": {**model, "code": code}}


def _plain(value: Any) -> Any:  # noqa: ANN401
    """The number that a scalar of NumPy or torch holds; anything else as text."""
    return (
        value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else str(value)
    )
