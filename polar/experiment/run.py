"""The main job: one run of an experiment, as a stream of events, without any service."""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from polar import figures
from polar.data.images import ImageDataset, load
from polar.errors import DatasetError, InvalidInput
from polar.experiment.findings import Findings, find
from polar.files import written_aside
from polar.measurement.explanation import explain_evidence
from polar.measurement.files import save_json
from polar.records.events import (
    LAST_STATE_FILE,
    RESULT_FILE,
    ArtifactSaved,
    Evaluation,
    Event,
    Result,
    Started,
)
from polar.regime.explanation import explain
from polar.regime.sensitivity import explain_sensitivity
from polar.regime.settling import Look, settling
from polar.regime.table import table_to_parquet
from polar.spec import SCIENCE_VERSION, ExperimentSpec
from polar.spec.course import warm_up_steps
from polar.training import checkpoint
from polar.training.inputs import inputs
from polar.training.loop import train
from polar.training.state import fresh
from polar.training.subset import EvaluationSubset, evaluation_subset


def run(
    spec: ExperimentSpec,
    *,
    seed: int | None = None,
    out: Path | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    checkpoints: Path | None = None,
    resume_from: Path | None = None,
    stop: Callable[[], bool] | None = None,
    expected_digest: str | None = None,
) -> Iterator[Event]:
    """Trains one model and measures its latents, and reports on the way.

    Yields `Started`, the evaluations of the checkpoint that it goes on from, then `Progress` (at
    least a hundred times), `Evaluation` and `CheckpointSaved` in the order of their steps,
    `ArtifactSaved` for each file in `out`, and `Result` at the end. On the CPU of one machine the
    same spec, seed and data give the same numbers to the last bit, also when the run was stopped
    in between; only `estimators` and its figure hold times as well.

    Nothing happens before the caller asks for the first event, and the caller can give up the run
    at any event.

    Args:
        spec: What to run.
        seed: The seed to run; may be left out when the spec has a single seed.
        out: Folder for the tables, the figures, the last state and `result.json`; by default none
            are written.
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

    held_out = (
        evaluation_subset(split.held_out, spec, split.training) if len(split.held_out) else None
    )
    findings = find(state.model, subset, dataset, spec, state.evaluations, held_out)
    result = _result(spec, dataset, subset, state.evaluations, findings)
    if out is not None:
        yield from _save_findings(out, findings, result.final.verdict.tau_nats)
        checkpoint.write(state, out / LAST_STATE_FILE)
        yield _artifact(out, out / LAST_STATE_FILE)
        timing: dict[str, float | str] = {
            "seconds": time.perf_counter() - started,
            "steps": state.step - first_step,
            "device": str(target),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        yield _save_result(out, result, spec, timing)
    yield result


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
        raise InvalidInput(
            f"device {name!r} is not here: this machine has {torch.cuda.device_count()} GPUs; "
            "allowed: auto, cpu, or a GPU that it has"
        )
    return device


def _result(
    spec: ExperimentSpec,
    dataset: ImageDataset,
    subset: EvaluationSubset,
    evaluations: Sequence[Evaluation],
    findings: Findings,
) -> Result:
    final = evaluations[-1]
    looks = [Look.of(evaluation) for evaluation in evaluations]
    still = settling(looks, warm_up_steps(spec.training))
    measurement = findings.measurement
    sentences = (
        explain(final, still, final.step),
        findings.about_the_scale,
        explain_sensitivity(findings.sensitivity),
        explain_evidence(
            verdict=final.verdict,
            thresholds=measurement.thresholds,
            dip=measurement.dip,
            labels=measurement.labels,
            agreement=measurement.agreement,
        ),
    )
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
        held_out=findings.held_out,
        loss_terms=findings.loss_terms,
        summary=findings.summary,
        dataset_note=dataset.note,
        explanation=" ".join(filter(None, sentences)),
        sensitivity=findings.sensitivity,
    )


def _save_findings(out: Path, findings: Findings, tau_nats: float) -> Iterator[ArtifactSaved]:
    out.mkdir(parents=True, exist_ok=True)
    for name, table in findings.tables.items():
        table_to_parquet(table, out / f"{name}.parquet")
        yield _artifact(out, out / f"{name}.parquet")
    yield _artifact(out, save_json(findings.measurement, out))
    for path in figures.save_figures(findings.tables, tau_nats, out / "figures"):
        yield _artifact(out, path)


def _save_result(
    out: Path, result: Result, spec: ExperimentSpec, timing: dict[str, float | str]
) -> ArtifactSaved:
    content = {
        **result.model_dump(mode="json", exclude={"event"}),
        "spec": spec.model_dump(mode="json"),
        "timing": timing,
    }
    with written_aside(out / RESULT_FILE, is_durable=True) as aside:
        aside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
    return _artifact(out, out / RESULT_FILE)


def _artifact(out: Path, path: Path) -> ArtifactSaved:
    return ArtifactSaved(name=path.relative_to(out).as_posix(), path=str(path))
