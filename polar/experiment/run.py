"""The main job: one run of an experiment, as a stream of events, without any service."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from polar.data.images import ImageDataset, load
from polar.errors import DatasetError, DeviceMissing, InvalidInput
from polar.experiment.model_file import save_model
from polar.experiment.result_file import Outcome, artifact, save_outcome
from polar.records.events import DIAGNOSTICS_FILE, LAST_STATE_FILE, Event, Result, Started
from polar.regime.columns import save_diagnostics
from polar.regime.explanation import explain
from polar.spec import SCIENCE_VERSION, ExperimentSpec
from polar.training import checkpoint
from polar.training.checkpoint import End
from polar.training.evaluation import settling_of
from polar.training.inputs import inputs
from polar.training.loop import train
from polar.training.loss_terms import loss_terms
from polar.training.state import TrainingState, fresh
from polar.training.subset import EvaluationSubset, evaluation_subset


def run(
    spec: ExperimentSpec,
    *,
    seed: int | None = None,
    out: Path | str | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    checkpoints: Path | None = None,
    resume_from: Path | None = None,
    stop: Callable[[], bool] | None = None,
    expected_digest: str | None = None,
    with_findings: bool = True,
) -> Iterator[Event]:
    """Trains one model and measures its latents, and reports on the way.

    Yields `Started`, the evaluations of the checkpoint that it goes on from, then `Progress` (at
    least a hundred times), `Evaluation` and `CheckpointSaved` in the order of their steps,
    `ArtifactSaved` for each file in `out`, `result.json` last, and `Result` at the end. On the CPU
    of one machine with the same number of threads, or on one kind of GPU, the same spec, seed and
    data give the same numbers to the last bit, also when the run was stopped in between; only
    `estimators` and its figure hold times as well.

    Nothing happens before the caller asks for the first event, and the caller can give up the run
    at any event.

    Args:
        spec: What to run.
        seed: The seed to run; may be left out when the spec has a single seed.
        out: Folder for the tables, the figures, the last state, the model and `result.json`; by
            default none are written.
        device: `auto`, `cpu`, `cuda` or `cuda:N`. `auto` takes the device of the spec, and where
            the spec says `auto` too, a GPU if there is one.
        data_dir: Folder of downloaded datasets; by default `POLAR_DATA_DIR`, or else
            `~/.cache/polar/data`.
        checkpoints: Folder for checkpoints; by default none are written.
        resume_from: A state to go on from: a checkpoint of this run, or the last state
            (`last_state.pt`) of a run that had fewer steps or is a stage of this run's warm start,
            which need not be trained again then. Or a folder of checkpoints, of which the newest
            is taken; the run begins at step 0 if the folder has none.
        stop: Called before every step; once it returns true, a last checkpoint is written and the
            stream ends without `Result`.
        expected_digest: The digest that the dataset must have.
        with_findings: Whether to make the findings too: all tables but `diagnostics`, the figures,
            and in `Result` the summary, the sensitivity and the held-out images. Without them the
            run ends with its verdict, and `polar.complete` makes them later from the files in
            `out`, with the same bytes where it has as many threads.

    Raises:
        InvalidInput: the spec has several seeds and none was named, the seed is out of range, or
            the device does not exist.
        DatasetError: the dataset is missing, broken, or has another digest than expected.
        CheckpointUnusable: the state is damaged, or of another course (see `polar.spec.course`),
            dataset or device, or later than the end of this run.
        Diverged: training left the finite numbers.
    """
    started = time.perf_counter()
    spec = _of_one_seed(spec, seed)
    target = _find_device(spec.device if device == "auto" else device)
    dataset = load(spec.dataset, data_dir)
    if expected_digest not in (None, dataset.digest):
        raise DatasetError(
            f"dataset {dataset.name} has digest {dataset.digest}; expected {expected_digest}"
        )
    split = inputs(dataset, spec, target)
    subset = evaluation_subset(split.training, spec)
    state = fresh(spec, dataset.digest, target)
    if resume_from is not None:
        checkpoint.restore(state, resume_from)
    first_step = 0 if state.is_in_warm_start else state.step

    yield Started(
        step=first_step,
        steps=spec.training.steps,
        device=str(target),
        images=len(split.training),
        images_evaluated=len(subset.inputs),
        dataset_digest=dataset.digest,
        parameters=sum(weights.numel() for weights in state.model.parameters()),
    )
    yield from tuple(state.evaluations)
    yield from train(state, split.training, subset, checkpoints=checkpoints, stop=stop)
    if not state.has_ended:
        return

    outcome = Outcome(
        _verdict(state, subset, dataset),
        spec,
        {
            "seconds": time.perf_counter() - started,
            "steps": state.step - first_step,
            "device": str(target),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
    )
    if out is not None:
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        save_diagnostics(state.evaluations, out / DIAGNOSTICS_FILE)
        yield artifact(out, out / DIAGNOSTICS_FILE)
        checkpoint.write(state, out / LAST_STATE_FILE)
        yield artifact(out, out / LAST_STATE_FILE)
        yield save_model(state.model.state_dict(), spec, dataset.digest, out)
    if with_findings:
        # Imported here, because pandas, scikit-learn and matplotlib do not belong into a training.
        from polar.experiment import completion

        end = End(state.model.state_dict(), tuple(state.evaluations))
        findings = completion.find_at(end, spec, dataset)
        if out is not None:
            tau_nats = outcome.result.final.verdict.tau_nats
            yield from completion.save_findings(findings, tau_nats, out)
        outcome = replace(
            outcome, result=completion.with_findings(outcome.result, findings, end, spec)
        )
    if out is not None:
        yield save_outcome(outcome, out)
    yield outcome.result


def _of_one_seed(spec: ExperimentSpec, seed: int | None) -> ExperimentSpec:
    if seed is None and len(spec.seeds) > 1:
        raise InvalidInput(
            f"the spec has the seeds {list(spec.seeds)} and none was named; allowed: one of them"
        )
    seed = spec.seeds[0] if seed is None else seed
    if not 0 <= seed < 2**32:
        raise InvalidInput(f"seed is {seed}; allowed: 0 to {2**32 - 1}")
    return spec.for_seed(seed)


def _find_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise InvalidInput(f"device is {name!r}; allowed: auto, cpu, cuda, cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceMissing(
            f"device {name!r} is not here: this machine has {torch.cuda.device_count()} GPUs; "
            "allowed: auto, cpu, or a GPU that it has"
        )
    return device


def _verdict(state: TrainingState, subset: EvaluationSubset, dataset: ImageDataset) -> Result:
    """The result of a training that has ended, without its findings."""
    spec, final = state.spec, state.evaluations[-1]
    still = settling_of(state.evaluations, spec)
    return Result(
        spec_hash=spec.content_hash(),
        science_version=SCIENCE_VERSION,
        seed=spec.seeds[0],
        steps=final.step,
        dataset_digest=dataset.digest,
        images=spec.training_images,
        images_evaluated=len(subset.inputs),
        final=final,
        settled=still.settled,
        largest_move_nats=still.largest_move_nats,
        rise_of_explained=still.rise_of_explained,
        labels_changed=still.labels_changed,
        held_out=None,
        loss_terms=loss_terms(state.model, subset, spec),
        summary=None,
        dataset_note=dataset.note,
        explanation=explain(final, still, final.step),
    )
