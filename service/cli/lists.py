"""`polar list` and `polar runs`, and how all lists are filtered.

Exit codes: REFUSED when the service refuses, UNREACHABLE when nobody answers.
"""

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, cast

import typer

from service.cli.connection import Url, service_at
from service.cli.output import Format, Output, show
from service.storage.states import RunState

if TYPE_CHECKING:
    from service.client.requests import Filters

Limit = Annotated[int, typer.Option(min=1, help="How many to list at most.")]
FullIds = Annotated[
    bool, typer.Option("--full-ids", help="Show whole ids, not only their first 8 digits.")
]
#: A filter without a state, which is another for runs than for studies.
Named = Annotated[
    str | None, typer.Option("--name", help="Only those whose name has these words.")
]
OfDataset = Annotated[
    str | None, typer.Option("--dataset", help="Only those on this dataset, such as `mnist`.")
]
OfModel = Annotated[
    str | None, typer.Option("--model", help="Only those of this model, such as `beta_vae`.")
]
Tagged = Annotated[
    list[str] | None,
    typer.Option("--tag", help="Only those with this tag, `key` or `key=value`; can be repeated."),
]
OfRunState = Annotated[RunState | None, typer.Option(help="Only those in this state.")]


def filters_of(
    state: str | None,
    name: str | None,
    dataset: str | None,
    model: str | None,
    tag: Sequence[str] | None,
) -> "Filters":
    """The filters that were given, for the client."""
    pairs = [word.partition("=") for word in tag or ()]
    tags = {key: value if equals else None for key, equals, value in pairs}
    given = {"state": state, "name": name, "dataset": dataset, "model": model, "tags": tags}
    return cast("Filters", {name: value for name, value in given.items() if value})


def list_experiments(
    limit: Limit = 20,
    state: OfRunState = None,
    name: Named = None,
    dataset: OfDataset = None,
    model: OfModel = None,
    tag: Tagged = None,
    full_ids: FullIds = False,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """List experiments, newest first."""
    with service_at(url) as client:
        from service.cli import tables

        listed = client.experiments(**filters_of(state, name, dataset, model, tag))
        show(list(islice(listed, limit)), partial(tables.of, full_ids=full_ids), output)


def list_runs(
    limit: Limit = 20,
    state: OfRunState = None,
    name: Named = None,
    dataset: OfDataset = None,
    model: OfModel = None,
    tag: Tagged = None,
    full_ids: FullIds = False,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """List runs, newest first."""
    with service_at(url) as client:
        from service.cli import tables

        listed = client.runs(**filters_of(state, name, dataset, model, tag))
        show(list(islice(listed, limit)), partial(tables.of_runs, full_ids=full_ids), output)
