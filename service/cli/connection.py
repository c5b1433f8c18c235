"""The service that a command talks to, and what the command says if that fails."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polar.errors import DatasetError, InvalidInput
from service.cli.output import fail, say
from service.exit_codes import FAILED, REFUSED, UNREACHABLE

if TYPE_CHECKING:
    from polar.spec import StudySpec
    from service.api.studies.schemas import StudyView
    from service.client import Client

Url = Annotated[
    str | None,
    typer.Option(
        envvar="POLAR_URL",
        help="Address of the service; by default that of `polar up` in POLAR_HOME.",
    ),
]


def option_of(url: str | None) -> str:
    """The option with which a command that a message names reaches the same service."""
    return f" --url {shlex.quote(url)}" if url and url != os.environ.get("POLAR_URL") else ""


def spec_of(study: "StudyView") -> "StudySpec":
    """The spec of a study as it was submitted, with the seeds and steps that were added later.

    Raises:
        InvalidInput: an earlier version accepted the spec, and this one cannot read it.
    """
    from polar.spec.extending import extended
    from service.storage import forms
    from service.storage.errors import EarlierVersion

    try:
        spec = forms.study_spec(study.spec)
        return extended(spec, study.seeds_wanted, study.training_steps_wanted)
    except EarlierVersion as error:
        raise InvalidInput(f"study {study.id}: {error}") from error


@contextmanager
def service_at(
    url: str | None, home: Path | None = None, instead: str = "polar get"
) -> Iterator["Client"]:
    """Yields a client whose errors end the command with a message and an exit code.

    Args:
        url: Address of a service.
        home: Home of the stack to talk to if there is no URL; by default that of POLAR_HOME.
        instead: Command to suggest if an id is of a kind that the calling command does not take.
    """
    from service.client import Client, ClientError, OtherKind, Refused, Unreachable
    from service.client.errors import StackChanges

    try:
        with Client(url, home=home) as client:
            if client.sends_other_token and home is None:
                say(
                    "POLAR_TOKEN is not used, because the stack of your own home gets its own "
                    f"token; to use it, name the service: --url {client.url}"
                )
            yield client
    except Refused as refused:
        problem = refused.problem
        if problem.status == 500:
            fail(f"{problem.detail}: {problem.request_id}", FAILED)
        faults = [str(fault) for fault in problem.errors]
        say("error: the service refuses this", *(faults or [str(refused)]))
        raise typer.Exit(REFUSED) from None
    except StackChanges as error:
        fail(f"{error}; try again in a moment", UNREACHABLE)
    except Unreachable as error:
        hint = "start it with `polar up`, or name a service with --url or POLAR_URL"
        fail(f"{error}; {hint}", UNREACHABLE)
    except OtherKind as error:
        fail(f"{error}: `{instead} {error.id}{option_of(url)}`", REFUSED)
    except DatasetError as error:  # of images that the command adds
        fail(error, FAILED)
    except (ClientError, InvalidInput) as error:
        fail(error, REFUSED)
