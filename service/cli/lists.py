"""`polar list`, `polar runs` and `polar study list`.

Exit codes: REFUSED when the service refuses, UNREACHABLE when nobody answers.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from service.cli.connection import Url, service_at
from service.cli.output import Format, Output, show
from service.storage.states import RunState, StudyState

if TYPE_CHECKING:
    from rich.console import RenderableType

FullIds = Annotated[
    bool, typer.Option("--full-ids", help="Show whole ids, not only their first 8 digits.")
]
Listed = Literal["experiments", "runs", "studies"]
#: Whose words and tags count besides those of the item itself.
BELONGING: Mapping[Listed, str] = {
    "experiments": "\n\n--name, --search and --tag also look at the study of an experiment.",
    "runs": "\n\n--name, --search and --tag also look at the experiments and studies of a run.",
}


def _list_of(what: Listed, states: type[StrEnum]) -> Callable[..., None]:
    """The command that lists them."""

    def show_list(
        limit: Annotated[int, typer.Option(min=1, help="How many to list at most.")] = 20,
        state: Annotated[
            states | None,  # type: ignore[valid-type]  # Typer reads it when the command is made
            typer.Option(help="Only those in this state."),
        ] = None,
        name: Annotated[
            str | None, typer.Option(help="Only those whose name has these words.")
        ] = None,
        search: Annotated[
            str | None, typer.Option(help="Only those whose name or note has these words.")
        ] = None,
        dataset: Annotated[
            str | None, typer.Option(help="Only those on this dataset, such as `mnist`.")
        ] = None,
        model: Annotated[
            str | None, typer.Option(help="Only those of this model, such as `beta_vae`.")
        ] = None,
        tag: Annotated[
            list[str] | None,
            typer.Option(help="Only those with this tag, `key` or `key=value`; can be repeated."),
        ] = None,
        full_ids: FullIds = False,
        output: Output = Format.TABLE,
        url: Url = None,
    ) -> None:
        pairs = [word.partition("=") for word in tag or ()]
        given = {
            "state": state,
            "name": name,
            "q": search,
            "dataset": dataset,
            "model": model,
            "tags": {key: value if equals else None for key, equals, value in pairs},
        }
        filters = {name: value for name, value in given.items() if value}
        with service_at(url) as client:
            listed = getattr(client, what)(**filters)
            table = partial(_table_of(what), full_ids=full_ids)
            show(list(islice(listed, limit)), table, output)

    show_list.__doc__ = f"List {what}, newest first.{BELONGING.get(what, '')}"
    return show_list


def _table_of(what: Listed) -> "Callable[..., RenderableType]":
    if what == "studies":
        from service.cli import study_tables  # which takes long to load

        return study_tables.of_studies
    from service.cli import tables

    return tables.of if what == "experiments" else tables.of_runs


list_experiments = _list_of("experiments", RunState)
list_runs = _list_of("runs", RunState)
list_studies = _list_of("studies", StudyState)
