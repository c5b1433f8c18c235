"""Writes a page about a service's studies: a table, and each study's answer, figures and spec.

    python -m benchmarks.studies --url http://127.0.0.1:8650 --out docs/studies NAME...

Each name stands for the newest completed study of that name, which must sweep one field. The text
of README.md above the line MARK is kept.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from polar.errors import InvalidInput
from polar.records.certificates import NO_CERTIFICATES, EdgeCertificate, is_refuted
from polar.records.ranges import Edge, Interval, StudyRange
from service.api.runs.schemas import RunView
from service.api.studies.schemas import StudyView
from service.cli.connection import spec_of
from service.cli.study_figure import StudyFigure, save_figure
from service.client import Client
from service.storage.states import StudyState, TrialState

MARK = "<!-- From here on written by benchmarks.studies. -->"
HEAD = (
    "study", "band", "outcome", "left edge", "right edge", "steps", "seeds", "trainings",
    "settled", "hours of one core",
)  # fmt: skip
#: Budgets whose edges are shown, the largest of those at which the study knows them.
BUDGETS_SHOWN = 6


@dataclass(frozen=True)
class Found:
    """A completed study with its range and its runs."""

    study: StudyView
    range: StudyRange
    runs: Sequence[RunView]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="address of the service that has the studies")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="+", help="names of the studies")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with Client(arguments.url) as client:
        found = list(_completed(client, arguments.names))
        sections = [_section(client, each, arguments.out) for each in found]
    page = arguments.out / "README.md"
    above = page.read_text().partition(MARK)[0] if page.exists() else ""
    table = [HEAD, ["---"] * len(HEAD), *map(_row, found)]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    page.write_text(above + "\n".join([MARK, "", *lines, *sections]) + "\n")
    print(page.read_text())


def _completed(client: Client, names: Sequence[str]) -> Iterator[Found]:
    newest: dict[str, StudyView] = {}
    for summary in client.studies():  # the newest comes first
        if summary.state is StudyState.COMPLETED and summary.name in names:
            newest.setdefault(summary.name, client.study(summary.id))
    for name in names:
        study = newest[name]
        assert study.range is not None  # it is completed
        runs = {
            run.id: client.run(run.id)
            for trial in client.trials(study.id)
            if trial.state is TrialState.COMPLETED
            for run in client.experiment(trial.experiment_id).runs
        }
        yield Found(study, study.range, list(runs.values()))


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
    """Hours from the start to the end of each run, each of which had one thread."""
    spans = [
        run.finished_at - run.started_at for run in runs if run.finished_at and run.started_at
    ]
    return sum(span.total_seconds() for span in spans) / 3600


def _section(client: Client, found: Found, folder: Path) -> str:
    name, report = found.study.name, found.range
    (folder / f"{name}.yaml").write_text(spec_of(found.study).to_yaml())
    parts = [f"\n## {name}", f"**{report.headline}**", *_lines(report)]
    for figure in StudyFigure:
        file = f"{name}.{figure}.png"
        try:
            save_figure(client, found.study.id, figure, folder / file)
        except InvalidInput:  # the study has no such figure
            continue
        parts.append(f"![{figure.replace('_', ' ')}]({file})")
    return "\n\n".join(parts)


def _lines(report: StudyRange) -> Iterator[str]:
    if report.remarks:
        yield " ".join(report.remarks)
    if report.certificates is not None and report.certificates.not_optimal:
        refuted = report.certificates.not_optimal
        weights = ", ".join(f"{each.model.weight:.4g}" for each in refuted)
        yield (
            f"{len(refuted)} of {report.trainings} trainings are not optimal, because another "
            f"model has a smaller loss at their weight: {weights}."
        )
    budgets = report.by_steps[-BUDGETS_SHOWN:]
    if len(budgets) > 1:
        heads = ["steps", "trainings", "left edge from scratch", "right edge from scratch"]
        rows = [heads, ["---"] * 4]
        rows += [[f"{at.steps:,}", f"{at.trainings}", *_words(at.envelope)] for at in budgets]
        yield "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _words(band: Interval | None) -> tuple[str, str]:
    return (band.left.words(), band.right.words()) if band else ("no band", "")


if __name__ == "__main__":
    main()
