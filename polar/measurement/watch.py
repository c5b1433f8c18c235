"""Measures a training that is somebody else's, while it goes on."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from polar import figures
from polar.entropy.samples import Array
from polar.errors import InvalidInput
from polar.measurement.files import refuse_measured, save_measurement
from polar.measurement.measure import measure
from polar.records.events import DIAGNOSTICS_FILE, Evaluation
from polar.records.latents import Verdict
from polar.records.measurement import Measurement
from polar.regime.codes import codes
from polar.regime.diagnostics import measure_latents
from polar.regime.dynamics import dynamics_table
from polar.regime.table import diagnostics_table, table_to_parquet
from polar.regime.threshold import tau_in_nats
from polar.regime.usage import checked_usage
from polar.regime.verdict import judge, labelled
from polar.spec import SCIENCE_VERSION
from polar.spec.fields import FEWEST_IMAGES
from polar.spec.training import DEFAULT_RENYI_ALPHA, DEFAULT_SIGMA, DEFAULT_TAU_STD, Ruler


class Watch:
    """Measures the codes of a model at some steps of a training, and keeps what it measured.

    Where the program has imported mlflow and a run of it is active, every measurement is logged
    to that run, under the names that runs of Polar have: `latent/n_active` and so on.
    """

    def __init__(
        self,
        *,
        ruler: Ruler = "scaled",
        sigma: float = DEFAULT_SIGMA,
        renyi_alpha: float = DEFAULT_RENYI_ALPHA,
        tau_std: float = DEFAULT_TAU_STD,
    ) -> None:
        """Prepare for the first measurement.

        Args:
            ruler: The unit of the entropies, as for `polar.measure`.
            sigma: Kernel width of the entropies, in units of the ruler.
            renyi_alpha: Order of the Renyi entropy.
            tau_std: A latent is active when it has more entropy than as many draws of a Gaussian
                with this std, in units of the ruler.
        """
        self._ruler: Ruler = ruler
        self._sigma, self._renyi_alpha, self._tau_std = sigma, renyi_alpha, tau_std
        self._evaluations: list[Evaluation] = []

    def record(
        self,
        step: int,
        mean: Tensor | Array,
        variance: Tensor | Array | None = None,
        *,
        prior_mean: Tensor | Array | None = None,
        prior_variance: Tensor | Array | None = None,
        usage: Tensor | Array | None = None,
        epoch: float = 0.0,
        metrics: Mapping[str, float] | None = None,
    ) -> Verdict:
        """Measure the codes of some images, always the same ones, after a step.

        Args:
            step: The number of steps made, above that of the last measurement.
            mean: Mean representation, or the codes of a deterministic model, shape (n, m).
            variance: Variances of the posteriors, shape (n, m); none for a deterministic model.
            prior_mean: Means of a conditional prior, shape (n, m).
            prior_variance: Variances of the conditional prior, shape (n, m).
            usage: Rise of the reconstruction loss when a latent is set to its mean, nats per
                image, shape (m,).
            epoch: The epochs made.
            metrics: What else is logged to MLflow at this step, such as losses.

        Returns:
            The verdict of the entropies alone, which is never clean or collapsed: nothing is known
            of the decoder.

        Raises:
            InvalidInput: the step is not above the last, or an array cannot be measured.
        """
        if self._evaluations and step <= self._evaluations[-1].step:
            raise InvalidInput(
                f"step {step}; allowed: above {self._evaluations[-1].step}, the last measured"
            )
        encoded = codes(mean, variance, prior_mean, prior_variance)
        n, m = encoded.mean.shape
        if n < FEWEST_IMAGES:
            raise InvalidInput(f"codes of {n} images; allowed: at least {FEWEST_IMAGES}")
        if self._evaluations and m != len(self._evaluations[-1].latents):
            raise InvalidInput(
                f"codes of {m} latents; allowed: {len(self._evaluations[-1].latents)}, as before"
            )
        rises = None if usage is None else checked_usage(usage, m).tolist()
        sigma, renyi_alpha = self._sigma, self._renyi_alpha
        tau_nats = tau_in_nats(self._tau_std, n=n, sigma=sigma, renyi_alpha=renyi_alpha)
        measures = measure_latents(
            encoded, ruler=self._ruler, sigma=sigma, renyi_alpha=renyi_alpha
        )
        latents = labelled(measures, tau_nats, rises)
        verdict = judge(latents, tau_std=self._tau_std, tau_nats=tau_nats)
        evaluation = Evaluation(
            step=step, epoch=epoch, reconstruction_nats=0.0, latents=latents, verdict=verdict
        )
        self._evaluations.append(evaluation)
        curves = evaluation.scalars()
        del curves["eval/reconstruction_nats"]  # it is not known
        _log_metrics({**curves, **(metrics or {})}, step)
        return verdict

    @property
    def table(self) -> pd.DataFrame:
        """A row for each measurement and latent, with the columns of a run's `diagnostics`.

        Raises:
            InvalidInput: nothing was measured.
        """
        return diagnostics_table(self._evaluations)

    def finish(
        self,
        mean: Tensor | Array,
        variance: Tensor | Array | None = None,
        *,
        out: Path | str | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Measurement:
        """Measure the final codes by every criterion, and write tables and figures.

        Args:
            mean: The codes after the last step, shape (n, m).
            variance: As for `record`.
            out: Folder for the tables, the figures and `measurement.json`; none are written
                without it. They are logged to the active run of MLflow as well.
            options: Other arguments of `polar.measure`, such as `usage` and `labels`.

        Raises:
            InvalidInput: an array cannot be measured, or the folder has a measurement already.
        """
        folder = None if out is None else Path(out)
        if folder is not None:
            refuse_measured(folder)
        measured = measure(
            mean,
            variance,
            ruler=self._ruler,
            sigma=self._sigma,
            renyi_alpha=self._renyi_alpha,
            tau_std=self._tau_std,
            **options,
        )
        if folder is not None:
            if self._evaluations:
                self._save_course(folder)
            save_measurement(measured, folder, mean, variance, usage=options.get("usage"))
        _log_result(measured, folder)
        return measured

    def _save_course(self, folder: Path) -> None:
        """What the latents went through, and its figures."""
        folder.mkdir(parents=True, exist_ok=True)
        table, tau_nats = self.table, self._evaluations[-1].verdict.tau_nats
        dynamics = dynamics_table(table, tau_nats)
        table_to_parquet(table, folder / DIAGNOSTICS_FILE)
        table_to_parquet(dynamics, folder / "dynamics.parquet")
        tables = {"diagnostics": table, "dynamics": dynamics}
        figures.save_figures(tables, tau_nats, folder / "figures")


def _active_mlflow() -> Any | None:  # noqa: ANN401
    """The module mlflow of the program, if a run of it is active."""
    mlflow = sys.modules.get("mlflow")
    return mlflow if mlflow is not None and mlflow.active_run() is not None else None


def _log_metrics(metrics: Mapping[str, float], step: int) -> None:
    if mlflow := _active_mlflow():
        mlflow.log_metrics(dict(metrics), step=step)


def _log_result(measured: Measurement, folder: Path | None) -> None:
    if mlflow := _active_mlflow():
        entropies = sorted((one.judged_entropy_nats for one in measured.latents), reverse=True)
        for rank, nats in enumerate(entropies, start=1):
            mlflow.log_metric("entropy/by_rank", nats, step=rank)
        tags = {
            "polar.regime": measured.verdict.regime.value,
            "polar.science_version": str(SCIENCE_VERSION),
        }
        mlflow.set_tags(tags)
        if folder is not None:
            mlflow.log_artifacts(str(folder))
