"""`polar compare`: the latents of several runs side by side.

Exit codes: REFUSED when the service refuses or a run has nothing to compare, UNREACHABLE when
nobody answers.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from polar.errors import InvalidInput
from service.cli.connection import Url, service_at
from service.cli.lists import FullIds
from service.cli.output import Format, Output, show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from polar.records.latents import LatentDiagnostics
    from service.client import Client, Run

#: More would not fit side by side.
MOST_RUNS = 8
LATENTS = "latents by their entropy in nats, with label and (number):"

Ids = Annotated[
    list[str],
    typer.Argument(help="Ids of runs, or of experiments for all their runs, or names."),
]


def compare(
    ids: Ids, full_ids: FullIds = False, output: Output = Format.TABLE, url: Url = None
) -> None:
    """Show the verdicts and the sorted entropies of runs side by side, and how specs differ."""
    with service_at(url, instead="polar study show") as client:
        run_ids = list(dict.fromkeys(run for id in ids for run in _runs_of(client, id)))
        if not 2 <= len(run_ids) <= MOST_RUNS:
            raise InvalidInput(f"2 to {MOST_RUNS} runs can be compared; given: {len(run_ids)}")
        compared = [_compared(client, client.run(id)) for id in run_ids]
        show(compared, partial(_table, full_ids=full_ids), output)


def _runs_of(client: "Client", id: str) -> "Iterator[UUID]":
    from service.client import Experiment, Run

    found = client.find(client.meant(id, Run, Experiment))
    yield from (run.id for run in found.runs) if isinstance(found, Experiment) else [found.id]


def _compared(client: "Client", run: "Run") -> dict[str, Any]:
    """What is compared of a run: its spec, its newest evaluation, and its latents by entropy."""
    measured = client.diagnostics(run.id)
    if not measured.evaluations:
        raise InvalidInput(f"run {run.id} is {run.state} and has not been evaluated yet")
    newest = measured.evaluations[-1]
    latents = [latent for latent in measured.latents if latent.step == newest.step]
    latents.sort(key=lambda latent: latent.judged_entropy_nats, reverse=True)
    return {
        "run": run.id,
        "state": run.state,
        "seed": run.seed,
        "spec": run.spec,
        "step": newest.step,
        "verdict": newest.verdict,
        "settled": run.result.settled if run.result else None,
        "latents": latents,
    }


def _table(compared: Sequence[Mapping[str, Any]], *, full_ids: bool) -> "RenderableType":
    from rich.console import Group

    from polar.records.words import SETTLED
    from service.cli import verdicts
    from service.cli.rows import Rows
    from service.cli.tables import shown_id

    names = [shown_id(each["run"], full_ids) for each in compared]
    facts = Rows("", *names, texts=())
    for name, of in (
        ("state", lambda each: each["state"]),
        ("seed", lambda each: str(each["seed"])),
        ("step", lambda each: f"{each['step']:,}"),
        ("regime", lambda each: verdicts.regime(each["verdict"])),
        ("P", lambda each: f"{each['verdict'].polarisation:.2f}"),
        ("active", lambda each: verdicts.active(each["verdict"], len(each["latents"]))),
        ("explained", lambda each: verdicts.explained(each["verdict"])),
        ("settled", lambda each: SETTLED[each["settled"]]),
    ):
        facts.add(name, *map(of, compared))
    for name, values in _differences([each["spec"] for each in compared]):
        facts.add(name, *map(_shown, values))
    latents = Rows("rank", *names, texts=())
    for rank, row in enumerate(zip_longest(*(each["latents"] for each in compared)), 1):
        latents.add(str(rank), *map(_latent, row))
    return Group(facts, "", LATENTS, latents)


def _latent(latent: "LatentDiagnostics | None") -> str:
    """The judged entropy in nats, the label, and which latent it is."""
    if latent is None:
        return ""
    idle = ", idle" if latent.is_idle else ""
    return f"{latent.judged_entropy_nats:.3f} {latent.label}{idle} ({latent.latent})"


def _differences(specs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Sequence[object]]]:
    """The fields in which specs differ, but for their seeds, with the value in each spec."""
    flat = [dict(_fields(spec)) for spec in specs]
    for name in dict.fromkeys(name for fields in flat for name in fields if name != "seeds"):
        values = [fields.get(name) for fields in flat]
        if any(value != values[0] for value in values):
            yield name, values


def _fields(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _fields(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
