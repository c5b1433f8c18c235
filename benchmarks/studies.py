"""Writes a page about a service's studies: a table, and each study's answer, figures and spec.

    python -m benchmarks.studies --url http://127.0.0.1:8650 --out docs/studies NAME...

Each name stands for the newest completed study of that name, which must sweep one field. What
README.md says of other studies, and its text above the line MARK, are kept.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from polar.errors import InvalidInput
from polar.records.certificates import NO_CERTIFICATES, EdgeCertificate, is_refuted
from polar.records.phases import StudyFigure
from polar.records.ranges import Edge, StudyRange
from service.api.runs.schemas import RunView
from service.api.studies.schemas import StudySummary, StudyView
from service.cli.connection import spec_of
from service.cli.range_tables import BUDGET_HEAD, budget_row
from service.cli.study_figure import save_figure
from service.client import Client
from service.storage.states import RunState, StudyState, TrialState

MARK = "<!-- From here on written by benchmarks.studies. -->"
HEAD = (
    "study", "band", "outcome", "left edge", "right edge", "steps", "seeds", "trainings",
    "settled", "hours of one core",
)  # fmt: skip
#: Budgets whose edges are shown, the largest of those at which the study knows them.
BUDGETS_SHOWN = 6


@dataclass(frozen=True)
class Found:
    """A completed study with its range, its runs, and how many of their models were compared."""

    study: StudyView
    range: StudyRange
    runs: Sequence[RunView]
    compared: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="address of the service that has the studies")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="+", help="names of the studies")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with Client(arguments.url) as client:
        try:
            found = list(_completed(client, arguments.names))
        except InvalidInput as error:
            parser.error(f"{error}")
        written = {each.study.name: _section(client, each, arguments.out) for each in found}
    page = arguments.out / "README.md"
    above, _, below = (page.read_text() if page.exists() else "").partition(MARK)
    rows, sections = _kept(below)
    rows |= {each.study.name: _line(_row(each)) for each in found}
    table = [*_table(HEAD, ()), *rows.values()]
    page.write_text(above + "\n".join([MARK, "", *table, *(sections | written).values()]) + "\n")
    print(page.read_text())


def _kept(page: str) -> tuple[dict[str, str], dict[str, str]]:
    """The lines of the table and the sections that a page has, by the name of the study."""
    lines = [line for line in page.splitlines() if line.startswith("| [")]
    sections = page.split("\n## ")[1:]
    return (
        {line.removeprefix("| [").partition("]")[0]: line for line in lines},
        {text.partition("\n")[0]: f"\n## {text.rstrip()}" for text in sections},
    )


def _completed(client: Client, names: Sequence[str]) -> Iterator[Found]:
    newest: dict[str, StudySummary] = {}
    for summary in client.studies():  # the newest comes first
        if summary.state is StudyState.COMPLETED:
            newest.setdefault(summary.name, summary)
    for name in names:
        if name not in newest:
            raise InvalidInput(
                f"no completed study has the name {name!r}; allowed: {', '.join(newest)}"
            )
        study = client.study(newest[name].id)
        if study.range is None:
            raise InvalidInput(
                f"study {name} has no range that this version can read; "
                f"`polar study extend {study.id} 1` finds it anew"
            )
        runs = {
            run.id: client.run(run.id)
            for trial in client.trials(study.id)
            if trial.state is TrialState.COMPLETED
            for run in client.experiment(trial.experiment_id).runs
        }
        models = client.models(study.id).models if study.range.certificates else []
        compared = sum(model.is_own for model in models)
        yield Found(study, study.range, list(runs.values()), compared)


def _row(found: Found) -> list[str]:
    report, band = found.range, found.range.envelope
    known = report.certificates or NO_CERTIFICATES
    settled = sum(bool(run.result and run.result.settled) for run in found.runs)
    edges = ["", ""]
    if band:
        sides = ((band.left, known.left), (band.right, known.right))
        edges = [
            edge_words(edge, certificate, report.of, known.models) for edge, certificate in sides
        ]
    return [
        f"[{found.study.name}]({found.study.name}.yaml)",
        report.of,
        report.outcome.replace("_", " "),
        *edges,
        f"{report.steps:,}",
        " ".join(map(str, report.seeds)),
        f"{len(found.runs)}",
        f"{settled}",
        f"{_hours(found.runs):.1f}",
    ]


def edge_words(edge: Edge, certificate: EdgeCertificate | None, of: str, models: int) -> str:
    """Where the edge lies, how it moves and whether it is certified; no edge if it is refuted."""
    if is_refuted(certificate):
        return f"none: {certificate.words(of, models)}"
    parts = [edge.words(), edge.movement_words()]
    if certificate is not None:
        parts.append(certificate.standing.replace("_", " "))
    return ", ".join(parts)


def _hours(runs: Sequence[RunView]) -> float:
    """Hours for which the runs were running, each on one thread; waiting does not count."""
    spans = [
        after.at - state.at
        for run in runs
        for state, after in pairwise(run.history)
        if state.state is RunState.RUNNING
    ]
    return sum(span.total_seconds() for span in spans) / 3600


def _section(client: Client, found: Found, folder: Path) -> str:
    name, report = found.study.name, found.range
    (folder / f"{name}.yaml").write_text(spec_of(found.study).to_yaml())
    parts = [f"\n## {name}", f"**{report.headline}**", *_lines(found)]
    for figure in StudyFigure:
        file = f"{name}.{figure}.png"
        try:
            save_figure(client, found.study.id, figure, folder / file)
        except InvalidInput:  # the study has no such figure
            continue
        parts.append(f"![{figure.replace('_', ' ')}]({file})")
    return "\n\n".join(parts)


def _lines(found: Found) -> Iterator[str]:
    report = found.range
    if report.remarks:
        yield " ".join(report.remarks)
    if report.certificates is not None and report.certificates.not_optimal:
        refuted = len(report.certificates.not_optimal)
        are, their = ("is", "its") if refuted == 1 else ("are", "their")
        yield (
            f"{refuted} of {found.compared} trained models {are} not optimal, because another "
            f"model has a smaller loss at {their} weight: {report.certificates.not_optimal_at()}."
        )
    budgets = report.by_steps[-BUDGETS_SHOWN:]
    if len(budgets) > 1:
        yield "\n".join(_table(BUDGET_HEAD, map(budget_row, budgets)))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield from map(_line, (head, ["---"] * len(head), *rows))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
