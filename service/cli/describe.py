"""`polar tag`, `polar note` and `polar rename`: what people say of experiments, runs and studies.

Exit codes: REFUSED when the service refuses or an id is unknown; UNREACHABLE when nobody answers.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from polar.errors import InvalidInput
from service.cli.connection import Url, service_at
from service.cli.output import Format, Output, show, write

if TYPE_CHECKING:
    from rich.console import RenderableType

    from service.client.answers import Experiment, Run, Study

#: Most bytes of a note that are read from stdin; the service allows fewer.
MOST_BYTES = 1024 * 1024

Id = Annotated[
    str,
    typer.Argument(help="Id of an experiment, of a run or of a study, how it begins, or a name."),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", help="A tag, as KEY or KEY=VALUE; may be given several times."),
]
Note = Annotated[str, typer.Option(help="A note, in Markdown.")]


def tag(
    id: Id,
    tags: Annotated[
        list[str] | None, typer.Argument(help="Tags to set, each as KEY or KEY=VALUE.")
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(help="Key of a tag to remove; may be given several times."),
    ] = None,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Set or remove tags of an experiment, a run or a study, and show those that it has."""
    with service_at(url) as client:
        new, gone = tags_of(tags or ()), dict.fromkeys(remove or ())
        twice = sorted(new.keys() & gone.keys())
        if twice:
            raise InvalidInput(
                f"{', '.join(twice)} cannot be both set and removed; allowed: either of them"
            )
        found = client.find_any(client.meant(id))
        show(found.describe(tags={**new, **gone}) if new or gone else found, _table, output)


def note(
    id: Id,
    text: Annotated[
        str | None,
        typer.Argument(
            help="The new note, in Markdown, or - to read it from stdin; by default it is shown.",
            show_default=False,
        ),
    ] = None,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Write or show the note of an experiment, a run or a study."""
    with service_at(url) as client:
        if text == "-":
            text = _read()
        found = client.find_any(client.meant(id))
        if text is not None:
            found = found.describe(note=text)
        if output is Format.TABLE:
            write(found.note)
        else:
            show(found, _table, output)


def rename(id: Id, name: str, output: Output = Format.TABLE, url: Url = None) -> None:
    """Give an experiment, a run or a study another name."""
    with service_at(url) as client:
        show(client.describe(client.meant(id), name=name), _table, output)


def tags_of(words: Sequence[str]) -> dict[str, str]:
    """The tags that words such as `good` and `data=mnist` stand for."""
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def in_words(tags: Mapping[str, str]) -> str:
    """The tags as words, as `tags_of` reads them."""
    return ", ".join(f"{key}={tags[key]}" if tags[key] else key for key in sorted(tags))


def _read() -> str:
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InvalidInput(f"the note has more than {MOST_BYTES:,} bytes; allowed: a shorter note")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the note is not text in UTF-8: {error}") from error


def _table(described: "Experiment | Run | Study") -> "RenderableType":
    from service.cli.rows import Facts

    kind = type(described).__name__.lower()
    facts = {kind: str(described.id), "name": described.name, "tags": in_words(described.tags)}
    return Facts({**facts, "note": described.note})
