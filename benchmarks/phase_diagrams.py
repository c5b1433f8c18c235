"""Writes a page about a service's studies: a table, and a figure and the spec of each study.

    python -m benchmarks.phase_diagrams --url http://127.0.0.1:8650 --out docs/studies NAME...

Each name stands for the newest completed study of that name, which must sweep one field. The text
of README.md above the line MARK is kept.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from polar.records.phases import Phases
from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from polar.spec import StudySpec
from service.api.studies.phases import phases_of
from service.drawing import save_figure

MARK = "<!-- From here on written by benchmarks.phase_diagrams. -->"
HEAD = ["study", "swept", "band", "outcome", "settled", "trials"]

Json = Mapping[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="address of the service that has the studies")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="+", help="names of the studies")
    arguments = parser.parse_args()
    with httpx.Client(base_url=f"{arguments.url}/api/v1", trust_env=False, timeout=60) as http:
        studies = list(_completed(http, arguments.names))
    arguments.out.mkdir(parents=True, exist_ok=True)
    written = [_write(study, found, trials, arguments.out) for study, found, trials in studies]
    page = arguments.out / "README.md"
    above = page.read_text().partition(MARK)[0] if page.exists() else ""
    page.write_text(above + "\n".join([MARK, "", *_page(written)]) + "\n")
    print(page.read_text())


def _completed(
    http: httpx.Client, names: Sequence[str]
) -> Iterator[tuple[Json, StudyRange, Sequence[Json]]]:
    """Studies with their ranges and completed trials, ordered by name."""
    newest: dict[str, Json] = {}
    for study in _pages(http, "/studies", "studies"):
        if study["state"] == "completed" and study["name"] in names:
            newest.setdefault(study["name"], study)
    for name in sorted(newest):
        path = f"/studies/{newest[name]['id']}"
        trials = [
            trial
            for trial in _pages(http, f"{path}/trials", "trials")
            if trial["state"] == "completed"
        ]
        found = StudyRange.model_validate(_ask(http, f"{path}/range"))
        yield _ask(http, path), found, trials


def _pages(http: httpx.Client, path: str, what: str) -> Iterator[Json]:
    token = None
    while True:
        page = _ask(http, path, {"page_token": token} if token else {})
        yield from page[what]
        token = page["next_page_token"]
        if token is None:
            return


def _ask(http: httpx.Client, path: str, query: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
    return http.get(path, params=query or {}).raise_for_status().json()


def _write(
    study: Json, found: StudyRange, trials: Sequence[Json], folder: Path
) -> tuple[str, list[str], Sequence[str]]:
    """Write a study's files; returns its name, its row of the table and its range's remarks."""
    name, spec = study["name"], StudySpec.model_validate(study["spec"])
    completed = [(trial["point"], Measured.model_validate(trial["measured"])) for trial in trials]
    phases = phases_of(spec, found, completed)
    save_figure("phase_diagram", phases, folder / f"{name}.png")
    (folder / f"{name}.yaml").write_text(spec.to_yaml())
    return name, _row(study, found, phases), found.remarks


def _row(study: Json, found: StudyRange, phases: Phases) -> list[str]:
    settled = sum(training.settled for training in phases.trainings)
    return [
        f"[{study['name']}]({study['name']}.yaml)",
        ", ".join(found.fields),
        "; ".join(interval.words() for interval in found.intervals) or "nowhere",
        found.outcome.replace("_", " "),
        f"{settled} of {len(phases.trainings)}",
        f"{study['trials']['completed']}",
    ]


def _page(written: Sequence[tuple[str, list[str], Sequence[str]]]) -> Iterator[str]:
    for cells in (HEAD, ["---"] * len(HEAD), *(row for _, row, _ in written)):
        yield f"| {' | '.join(cells)} |"
    for name, _, remarks in written:
        yield f"\n## {name}\n\n{' '.join(remarks)}\n\n![phase diagram]({name}.png)"


if __name__ == "__main__":
    main()
