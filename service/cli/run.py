"""`polar run`: carries out the runs of one spec in this process, without any service."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Annotated

import typer
from rich.text import Text

from polar.errors import CheckpointUnusable, InvalidInput, PolarError
from polar.folders import DATA_DIR_VARIABLE
from polar.records import events
from polar.spec import SCIENCE_VERSION, ExperimentSpec
from polar.spec.own_images import known_images, on_this_machine
from service.cli.bars import Bars, time_left
from service.cli.data import fetch_with_bars
from service.cli.output import fail, say, write, write_table
from service.cli.own_images import content_of
from service.exit_codes import FAILED, REFUSED, SIGNALLED


def run(
    spec: Annotated[Path, typer.Argument(help="YAML or JSON file of an experiment.")],
    out: Annotated[
        Path,
        typer.Option(
            file_okay=False, help="Folder for the results; several seeds get seed-N in it."
        ),
    ],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int | None, typer.Option(help="Run this seed only.")] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Threads of torch; 1 gives the same numbers as the service.")
    ] = 1,
    data_dir: Annotated[
        Path | None,
        typer.Option(envvar=DATA_DIR_VARIABLE, help="Folder of the datasets."),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch a missing dataset.")] = False,
    resume: Annotated[bool, typer.Option(help="Continue from the results in the folder.")] = True,
) -> None:
    """Train the models of a spec and measure their latents, here and now."""
    try:
        runs = _runs(_experiment(spec, data_dir), seed, out)
        for of_seed, folder in runs:
            _refuse_result_of_another_spec(of_seed, folder)
        if download:
            fetch_with_bars(runs[0][0].dataset.label, data_dir)
        experiment = _load_experiment(threads)
        with _stop_signals() as signals:
            for of_seed, folder in runs:
                if resume and (folder / events.RESULT_FILE).exists():
                    say(f"{folder} is finished; --no-resume runs it again")
                else:
                    stream = experiment.run(
                        of_seed,
                        out=folder,
                        device=device,
                        data_dir=data_dir,
                        checkpoints=folder / "checkpoints",
                        resume_from=folder / "checkpoints" if resume else None,
                        stop=lambda: bool(signals),
                    )
                    _follow(stream, of_seed, signals)
                _show_result(of_seed, folder)
    except InvalidInput as error:
        fail(error, REFUSED)
    except CheckpointUnusable as error:
        fail(f"{error}; --no-resume starts afresh", FAILED)
    except (PolarError, OSError) as error:
        fail(error, FAILED)


def _experiment(path: Path, data_dir: Path | None) -> ExperimentSpec:
    """The experiment of a file, whose images may be a path, and are in this folder then."""
    content = content_of(path, data_dir=data_dir)
    known = known_images.set(lambda: on_this_machine(data_dir))
    try:
        return ExperimentSpec.from_content(content)
    finally:
        known_images.reset(known)


def _runs(
    experiment: ExperimentSpec, seed: int | None, out: Path
) -> list[tuple[ExperimentSpec, Path]]:
    """The spec of each run, and the folder of its results."""
    seeds = experiment.seeds if seed is None else (seed,)
    several = len(experiment.seeds) > 1
    return [(experiment.for_seed(s), out / f"seed-{s}" if several else out) for s in seeds]


def _refuse_result_of_another_spec(spec: ExperimentSpec, folder: Path) -> None:
    path = folder / events.RESULT_FILE
    if not path.exists():
        return
    try:
        result = json.loads(path.read_bytes())
        stored = {"spec_hash": result["spec_hash"], "science_version": result["science_version"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput(
            f"{path} is not a result of Polar; allowed: another folder, with --out"
        ) from error
    expected = {"spec_hash": spec.content_hash(), "science_version": SCIENCE_VERSION}
    if stored != expected:
        raise InvalidInput(
            f"{folder} holds the result of another spec: {stored}, where this one has {expected}; "
            "allowed: another folder, with --out"
        )


def _load_experiment(threads: int) -> ModuleType:
    """Import `polar.experiment.run`, and torch with it, which takes seconds, and set torch up."""
    import torch

    from polar.experiment import run as experiment
    from polar.training import allocator

    allocator.keep_freed_memory()
    torch.set_num_threads(threads)
    return experiment


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Yields the stop signals that have arrived; a second signal ends the process at once."""
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(stream: Iterator[events.Event], spec: ExperimentSpec, signals: list[int]) -> None:
    """Show a run as a bar; end the command if the run was stopped."""
    bar = Bars(transient=True)
    task = bar.add(f"seed {spec.seeds[0]}", total=spec.training.steps)
    with bar:
        for event in stream:
            match event:
                case events.Started(step=step):
                    bar.update(task, completed=step, status="goes on" if step else "starts")
                case events.Progress(step=step):
                    status = f"{event.images_per_s:,.0f} images/s, {time_left(event)}"
                    bar.update(task, completed=step, status=status)
                case events.CheckpointSaved():
                    saved = event
                case events.ArtifactSaved(name=name):
                    bar.update(task, status=f"writing results, {name} is there")
    if not isinstance(event, events.Result):
        say(
            f"stopped at step {saved.step:,} of {spec.training.steps:,}; "
            f"the same command goes on from {saved.path}"
        )
        raise typer.Exit(SIGNALLED + signals[0])


def _show_result(spec: ExperimentSpec, folder: Path) -> None:
    result = json.loads((folder / events.RESULT_FILE).read_bytes())
    write_table(Text(f"seed {spec.seeds[0]}: {result['explanation']}"))  # wrapped between words
    for path in (
        folder / events.RESULT_FILE,
        folder / events.DIAGNOSTICS_FILE,
        folder / "figures",
    ):
        write(f"  {path}")
