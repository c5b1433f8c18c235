"""Which files nobody needs: whatever runs there are, every file that somebody needs stays."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.storage.cleaning import Needless, RunFiles, needless, run_of

RUN = UUID(int=1)
KNOWN, LAST = f"runs/{RUN}", f"runs/{RUN}/attempt-2"

NAMES = st.sampled_from(
    [
        "log.txt", "checkpoints/step-10.pt", "checkpoints/.a.part", "out/model.safetensors",
        "out/last_state.pt", "out/figures/a.png", "out/.b.part", "out/figures/.c.part",
    ]
)  # fmt: skip


@st.composite
def folders(draw: st.DrawFn) -> tuple[set[PurePosixPath], dict[UUID, RunFiles]]:
    """The files of some runs in any states, and of runs that no row knows, and foreign files."""
    paths, runs = set(), {}
    for number in range(draw(st.integers(0, 4))):
        id = UUID(int=number)
        attempts = draw(st.integers(1, 4))
        of_run = {
            f"runs/{id}/attempt-{attempt}/{name}"
            for attempt in range(1, attempts + 1)
            for name in draw(st.sets(NAMES))
        }
        paths |= of_run
        if draw(st.booleans()):
            results = sorted(path for path in of_run if "/out/" in path)
            runs[id] = RunFiles(
                attempt=attempts,
                has_ended=draw(st.booleans()),
                is_written=draw(st.booleans()),
                artifacts=draw(st.sets(st.sampled_from(results))) if results else set(),
            )
    paths |= draw(st.sets(st.sampled_from(["measurements/a/b", "runs/note.txt", "mine/x.part"])))
    return {PurePosixPath(path) for path in paths}, runs


def is_needed(path: PurePosixPath, runs: Mapping[UUID, RunFiles]) -> bool:
    """Whether somebody needs a file, said in another way than by the code."""
    run_id = run_of(path)
    if run_id is None:
        return True  # it is none of ours
    if run_id not in runs:
        return False
    run = runs[run_id]
    is_of_last = path.parts[2] == f"attempt-{run.attempt}"
    is_in_writing = run.is_written and "checkpoints" not in path.parts
    is_a_log_or_result = is_of_last and "checkpoints" not in path.parts and path.suffix != ".part"
    return not run.has_ended or f"{path}" in run.artifacts or is_in_writing or is_a_log_or_result


@given(folders())
def test_every_file_that_is_needed_stays_and_no_other(
    case: tuple[set[PurePosixPath], dict[UUID, RunFiles]],
) -> None:
    paths, runs = case

    removed = needless(paths, runs).keys()

    assert removed == {path for path in paths if not is_needed(path, runs)}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (f"{LAST}/checkpoints/step-10.pt", Needless.CHECKPOINT),
        (f"{KNOWN}/attempt-1/checkpoints/step-10.pt", Needless.CHECKPOINT),
        (f"{KNOWN}/attempt-1/log.txt", Needless.ATTEMPT),
        (f"{LAST}/out/.a.part", Needless.UNFINISHED),
        (f"{LAST}/log.txt", None),
        (f"{LAST}/out/last_state.pt", None),
        (f"{KNOWN}/attempt-10/note.txt", Needless.ATTEMPT),
        (f"{KNOWN}/note.txt", None),
        (f"runs/{UUID(int=2)}/attempt-1/log.txt", Needless.NO_RUN),
        ("runs/mine/attempt-1/log.txt", None),
        ("measurements/a.part", None),
    ],
)
def test_the_reason_says_whose_it_was(path: str, why: Needless | None) -> None:
    run = RunFiles(2, True, False, {f"{LAST}/out/last_state.pt"})

    reasons = needless([PurePosixPath(path)], {RUN: run})

    assert reasons.get(PurePosixPath(path)) == why
