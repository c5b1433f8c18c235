"""Completes a run that has ended with its findings, at once or later.

The findings are a function of the run's last state, its spec and its dataset. They are always made
on the CPU, so that it does not matter when they are made, how often, and on what the run was
trained. Only the rounding of sums depends on the kind of processor, the number of threads and the
versions of torch and NumPy.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from polar import figures
from polar.data.images import ImageDataset, load
from polar.errors import CheckpointUnusable, DatasetError
from polar.experiment.findings import Findings, find
from polar.experiment.result_file import artifact, read_outcome, save_outcome
from polar.experiment.trained_model import network_of
from polar.measurement.explanation import explain_evidence
from polar.measurement.files import save_json
from polar.models import Autoencoder
from polar.records.events import LAST_STATE_FILE, ArtifactSaved, Result
from polar.regime.explanation import explain
from polar.regime.sensitivity import explain_sensitivity
from polar.regime.table import table_to_parquet
from polar.spec import ExperimentSpec
from polar.training import checkpoint
from polar.training.checkpoint import End
from polar.training.evaluation import settling_of
from polar.training.inputs import inputs
from polar.training.subset import evaluation_subset


def complete(folder: Path, *, data_dir: Path | None = None) -> Iterator[ArtifactSaved | Result]:
    """Makes the findings of a run that ended without them, from what its folder keeps.

    It may be repeated, also while another process does the same: every file is complete whenever
    it is there, and gets the same bytes by the same versions with the same number of threads,
    except that `estimators` and its figure hold times.

    Args:
        folder: The folder `out` of the run, with its `last_state.pt` and `result.json`.
        data_dir: Folder of downloaded datasets, as for `polar.run`.

    Yields:
        `ArtifactSaved` for each table, figure and other file, last for `result.json`, and then the
        `Result` with its findings; its verdict and its loss terms are those of the run's end.

    Raises:
        InvalidInput: the folder has no result of this version.
        DatasetError: the dataset is missing, broken, or another than the run was trained on.
        CheckpointUnusable: the last state is missing, damaged, or of another run or version, or
            does not fit what the result says of the run.
    """
    outcome = read_outcome(folder)
    spec, result = outcome.spec, outcome.result
    dataset = load(spec.dataset, data_dir)
    if dataset.digest != result.dataset_digest:
        raise DatasetError(
            f"dataset {dataset.name} has digest {dataset.digest}; expected {result.dataset_digest}"
        )
    last_state = folder / LAST_STATE_FILE
    end = checkpoint.read_end(last_state, spec, dataset.digest)
    if end.evaluations[-1:] != (result.final,) or not _fits(result, end, spec):
        raise CheckpointUnusable(f"checkpoint {last_state} is not the end of this run")
    findings = find_at(end, spec, dataset)
    yield from save_findings(findings, result.final.verdict.tau_nats, folder)
    completed = with_findings(result, findings, end, spec)
    yield save_outcome(replace(outcome, result=completed), folder)
    yield completed


def find_at(end: End, spec: ExperimentSpec, dataset: ImageDataset) -> Findings:
    """The findings at the end of a run.

    Args:
        end: The end of the training.
        spec: The spec of the run, with one seed.
        dataset: Its dataset.

    Raises:
        CheckpointUnusable: the weights are not those of the spec's model.
    """
    split = inputs(dataset, spec, torch.device("cpu"))
    training, held_out = split.training, split.held_out
    return find(
        _model(end, spec),
        evaluation_subset(training, spec),
        dataset,
        spec,
        end.evaluations,
        evaluation_subset(held_out, spec, training) if len(held_out) else None,
    )


def with_findings(result: Result, findings: Findings, end: End, spec: ExperimentSpec) -> Result:
    """The result of a run, completed; its explanation says as well how far it can be trusted."""
    final, measurement = result.final, findings.measurement
    sentences = (
        explain(final, settling_of(end.evaluations, spec), final.step),
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
    return result.model_copy(
        update={
            "held_out": findings.held_out,
            "summary": findings.summary,
            "explanation": " ".join(filter(None, sentences)),
            "sensitivity": findings.sensitivity,
        }
    )


def save_findings(findings: Findings, tau_nats: float, folder: Path) -> Iterator[ArtifactSaved]:
    """Writes the tables, `measurement.json` and the figures of a run into its folder."""
    for name, table in findings.new_tables.items():
        table_to_parquet(table, folder / f"{name}.parquet")
        yield artifact(folder, folder / f"{name}.parquet")
    yield artifact(folder, save_json(findings.measurement, folder))
    for path in figures.save_figures(findings.tables, tau_nats, folder / "figures"):
        yield artifact(folder, path)


def _fits(result: Result, end: End, spec: ExperimentSpec) -> bool:
    """Whether a result is of this spec, and says of the training what its evaluations say."""
    still = settling_of(end.evaluations, spec)
    said = (result.spec_hash, (result.seed,), result.steps, result.settled)
    return said == (spec.content_hash(), spec.seeds, result.final.step, still.settled)


def _model(end: End, spec: ExperimentSpec) -> Autoencoder:
    try:
        return network_of(spec, end.weights)
    except (RuntimeError, TypeError) as error:
        raise CheckpointUnusable(f"the weights are not those of this model: {error}") from error
