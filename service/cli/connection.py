"""The service that a command speaks with, and what a command says where that does not work."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from polar.errors import InvalidInput
from polar.spec import StudySpec
from service.cli.output import REFUSED, UNREACHABLE, fail, say

if TYPE_CHECKING:
    from service.api.views import StudyView
    from service.client import Client

Url = Annotated[
    str | None,
    typer.Option(
        envvar="POLAR_URL",
        help="Address of a service. By default the one that `polar up` runs in POLAR_HOME.",
    ),
]


def spec_of(study: "StudyView") -> StudySpec:
    """The spec of a study.

    Raises:
        InvalidInput: it was accepted by an earlier version of the service, which allowed more.
    """
    try:
        return StudySpec.model_validate(study.spec)
    except ValidationError as error:
        faults = "; ".join(map(str, StudySpec.faults_of(error)))
        raise InvalidInput(f"study {study.id} is of an earlier version: {faults}") from error


@contextmanager
def service_at(
    url: str | None, home: Path | None = None, instead: str = "polar get"
) -> Iterator["Client"]:
    """A client whose errors end the command, with a message and an exit code.

    Args:
        url: Of a service.
        home: Whose stack is the service where there is no URL; by default that of POLAR_HOME.
        instead: The command for an id that is not of the kind that this one is for.
    """
    from service.client import Client, ClientError, OtherKind, Refused, Unreachable

    try:
        with Client(url, home=home) as client:
            yield client
    except Refused as refused:
        faults = [str(fault) for fault in refused.problem.errors]
        say("error: the service refuses this", *(faults or [str(refused)]))
        raise typer.Exit(REFUSED) from None
    except Unreachable as error:
        hint = "start it with `polar up`, or name a service with --url or POLAR_URL"
        fail(f"{error}; {hint}", UNREACHABLE)
    except OtherKind as error:
        fail(f"{error}: `{instead} {error.id}`", REFUSED)
    except (ClientError, InvalidInput) as error:
        fail(error, REFUSED)
