"""The child of these tests: the real program around an experiment that only pretends to train.

The name of the spec says what happens after its first checkpoint.
"""

import ctypes
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polar
from polar.errors import CheckpointUnusable, DatasetCorrupt
from polar.records.events import (
    ArtifactSaved,
    CheckpointSaved,
    Evaluation,
    Event,
    Progress,
    Result,
    Started,
)
from polar.records.latents import Regime
from polar.spec import ExperimentSpec
from workers.training.child import main
from workers.training.template import serve

#: Each training has a speed of its own where `ANY_SPEED` is set.
STEP_S = 0.04 * (random.uniform(0.1, 3) if "ANY_SPEED" in os.environ else 1)
#: What it says that it has measured.
MADE_UP = Result.model_validate_json(os.environ["MADE_UP_RESULT"])


def run(
    spec: ExperimentSpec,
    *,
    out: Path,
    device: str,
    checkpoints: Path,
    resume_from: Path | None,
    stop: Callable[[], bool],
    expected_digest: str,
    with_findings: bool,
) -> Iterator[Event]:
    assert not with_findings
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # it may come before the wait
    step = _restore(resume_from) if resume_from else 0
    steps, every = spec.training.steps, spec.training.checkpoint_every
    while spec.name == "starts slowly" and not stop():
        time.sleep(0.01)
    yield _started(step, steps, device, expected_digest)
    sys.stdout.write(f"what a library prints: {os.environ.get('POLAR_DATABASE_URL')}\n")
    sys.stdout.flush()
    while step < steps and not stop():
        time.sleep(STEP_S)
        step += 1
        yield _progress(step, steps)
        if step % every == 0:
            yield _evaluation(step, spec)
            yield _saved(checkpoints, step)
            _misbehave(spec.name, stop)
    if step < steps:
        yield _saved(checkpoints, step)
        return
    out.mkdir()
    (out / "result.json").write_text("{}")
    yield ArtifactSaved(name="result.json", path=str(out / "result.json"))
    yield _result(spec, expected_digest)


def _misbehave(name: str, stop: Callable[[], bool]) -> None:
    match name:
        case "silent":
            while not stop():
                time.sleep(0.01)
        case "refused":
            raise DatasetCorrupt("the file ends after 16 bytes")
        case "bug":
            raise KeyError("latents")
        case "disk full":
            raise OSError(28, "No space left on device")
        case "waits":
            signal.sigwait({signal.SIGUSR1})
        case "no memory":
            raise MemoryError
        case "unprintable":
            raise ValueError("a NUL \x00 and half a character \ud800" + "x" * 100_000)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "leaves without a word":
            sys.stderr.write("nobody knows why\n")
            os._exit(3)
        case "hangs":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        case "holds the interpreter":
            ctypes.PyDLL(None).sleep(600)
        case "leaves a process behind":
            if os.fork() == 0:
                time.sleep(600)
            os._exit(3)


def _restore(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointUnusable(f"checkpoint {path} is damaged: {error}") from error


def _saved(folder: Path, step: int) -> CheckpointSaved:
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{step:08d}.pt"
    path.write_text(str(step))
    return CheckpointSaved(step=step, path=str(path))


def _started(step: int, steps: int, device: str, digest: str) -> Started:
    return Started(
        step=step,
        steps=steps,
        device=device,
        images=2,
        images_evaluated=2,
        dataset_digest=digest,
        parameters=1,
    )


def _progress(step: int, steps: int) -> Progress:
    return Progress(
        step=step,
        steps=steps,
        epoch=step / 2,
        loss=1 / step,
        reconstruction_nats=1 / step,
        penalty=0.0,
        images_per_s=1.0,
        eta_s=1.0,
    )


def _evaluation(step: int, spec: ExperimentSpec) -> Evaluation:
    """Its clean polarisation tells the weight and the seed, and so whose result it is."""
    final, weight, seed = MADE_UP.final, spec.model.weight or 0, spec.seeds[0]
    told = {"clean_polarisation": 1 / (1 + weight + seed / 10), "regime": _regime(weight, seed)}
    verdict = final.verdict.model_copy(update=told)
    latents = final.latents[:1] * spec.model.latent_dim
    changes = {"step": step, "epoch": step / 2, "latents": latents, "verdict": verdict}
    return final.model_copy(update=changes)


def _regime(weight: float, seed: int) -> Regime:
    """The regime of a band whose edges depend on the seed."""
    if weight < 0.3 * (1 + seed / 10):
        return Regime.UNDER_REGULARISED
    return Regime.CLEAN if weight < 10 * (1 + seed / 10) else Regime.COLLAPSED


def _result(spec: ExperimentSpec, digest: str) -> Result:
    steps = spec.training.steps
    changes = {
        "spec_hash": spec.content_hash(),
        "seed": spec.seeds[0],
        "steps": steps,
        "dataset_digest": digest,
        "final": _evaluation(steps, spec),
    }
    return MADE_UP.model_copy(update=changes)


if __name__ == "__main__":
    polar.run = run  # type: ignore[assignment]
    serve(main)
