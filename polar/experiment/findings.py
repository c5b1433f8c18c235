"""What a run measures at its end, beyond the verdict, as records and tables."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from polar.data.images import ImageDataset
from polar.downstream import Downstream, Gain, predict_factors
from polar.entropy import joint_entropy, renyi_entropy
from polar.entropy.differential import (
    histogram_entropy,
    mixture_entropy,
    nearest_neighbour_entropy,
    spacing_entropy,
)
from polar.measurement.measure import measure
from polar.measurement.tables import measurement_tables, representations_table
from polar.models import Autoencoder
from polar.records.events import Evaluation, Summary
from polar.records.latents import Label
from polar.records.measurement import Criterion, Measurement
from polar.regime.codes import Codes
from polar.regime.dynamics import LearningOrder, dynamics_table, learning_order
from polar.regime.table import diagnostics_table
from polar.spec import ExperimentSpec
from polar.training.evaluation import EvaluationSubset, encode_subset
from polar.training.usage import Usage, measure_usage

#: Images for the estimators that are only compared, because some of them take a while.
COMPARED_IMAGES = 1000
#: Columns of the table of gains: accuracy with all latents - with the actives alone.
GAIN = [field.name for field in fields(Gain)]


@dataclass(frozen=True)
class Findings:
    """All measures of a run's final latents, and of how they came about."""

    measurement: Measurement
    usage: Usage
    order: LearningOrder
    downstream: Downstream | None
    #: Tidy tables by name; `polar.figures` describes their columns.
    tables: dict[str, pd.DataFrame]

    @property
    def summary(self) -> Summary:
        """The findings in a few numbers."""
        labels, measurement = self.measurement.labels, self.measurement
        criteria = list(dict.fromkeys(label.criterion for label in labels))
        counts = {
            criterion.value: sum(
                label.criterion is criterion and label.label is Label.ACTIVE for label in labels
            )
            for criterion in criteria
        }
        mixed = sum(
            label.criterion is Criterion.TWO_SIGNALS and label.label is Label.MIXED
            for label in labels
        )
        kendall = self.order.kendall
        return Summary(
            n_active=counts,
            n_mixed=mixed if Criterion.TWO_SIGNALS in criteria else None,
            usage_auc={
                score.criterion.value: score.auc
                for score in measurement.usage
                if score.auc is not None
            },
            dip_p_value=None if measurement.dip is None else measurement.dip.p_value,
            attempted_actives=int(self.tables["dynamics"]["attempted"].sum()),
            learning_order=None if kendall is None else kendall.statistic,
            downstream_gain=_gains(self.downstream),
        )


def find(
    model: Autoencoder,
    subset: EvaluationSubset,
    dataset: ImageDataset,
    spec: ExperimentSpec,
    evaluations: Sequence[Evaluation],
) -> Findings:
    """Measures a trained model once more, by every criterion.

    Args:
        model: The model after its last step.
        subset: What the model was evaluated on: the first images of the dataset.
        dataset: The dataset, whose factors the downstream task predicts.
        spec: The spec of the run, with one seed.
        evaluations: All evaluations of the run, by ascending step.

    Raises:
        Diverged: a loss is not finite.
        InvalidInput: the dataset's factors cannot be predicted.
    """
    final, diagnostics = evaluations[-1], spec.diagnostics
    codes = encode_subset(model, subset)
    usage = measure_usage(model, subset, spec)
    measurement = measure(
        codes.mean,
        codes.variance,
        prior_mean=codes.prior_mean,
        prior_variance=codes.prior_variance,
        usage=np.array(usage.rise_nats),
        sigma=diagnostics.sigma,
        renyi_alpha=diagnostics.renyi_alpha,
        tau=diagnostics.tau_rule,
        tau_otherwise=diagnostics.tau,
        seed=spec.seeds[0],
    )
    history = diagnostics_table(evaluations)
    dynamics = dynamics_table(history, final.verdict.tau_nats)
    order = learning_order(dynamics, np.array(usage.rise_nats))
    downstream = _downstream(codes, dataset, spec, final)
    tables = {
        "diagnostics": history,
        **measurement_tables(measurement),
        "usage": _usage_table(usage),
        "dynamics": dynamics,
        "representations": representations_table(codes, measurement),
        "estimators": _estimators(codes, spec),
        **_information(history),
        **_diagram(codes, subset, spec),
        "learning_order": _order_table(order),
        **_downstream_tables(downstream),
    }
    return Findings(
        measurement=measurement,
        usage=usage,
        order=order,
        downstream=downstream,
        tables=tables,
    )


def _downstream(
    codes: Codes, dataset: ImageDataset, spec: ExperimentSpec, final: Evaluation
) -> Downstream | None:
    if spec.downstream is None:
        return None
    sizes = {name: spec.dataset.factors[name] for name in spec.predicted_factors}
    columns = [list(spec.dataset.factors).index(name) for name in sizes]
    return predict_factors(
        codes.mean,
        dataset.factors[: len(codes.mean), columns].numpy(),
        sizes,
        np.array([latent.judged_entropy_nats for latent in final.latents]),
        n_active=final.verdict.n_active,
        seeds=range(spec.downstream.splits),
    )


def _gains(downstream: Downstream | None) -> dict[str, float]:
    """Accuracy with all latents - accuracy with the actives alone, standardised, by factor."""
    if downstream is None:
        return {}
    return {
        gain.factor or "mean": gain.mean
        for gain in downstream.gains
        if (gain.representation, gain.control) == ("standardised", "none")
    }


def _downstream_tables(downstream: Downstream | None) -> dict[str, pd.DataFrame]:
    if downstream is None:
        return {}
    gains = pd.DataFrame([vars(gain) for gain in downstream.gains], columns=GAIN)
    return {
        "downstream": downstream.table,
        "downstream_gains": gains.fillna({"factor": "mean"}),
        "downstream_baselines": pd.DataFrame(
            [vars(baseline) for baseline in downstream.baselines]
        ),
    }


def _order_table(order: LearningOrder) -> pd.DataFrame:
    """A row for each coefficient; its cells are empty where it is undefined."""
    coefficients = {"kendall": order.kendall, "spearman": order.spearman}
    return pd.DataFrame(
        {
            "coefficient": name,
            "latents": order.latents,
            "statistic": None if association is None else association.statistic,
            "p_value": None if association is None else association.p_value,
        }
        for name, association in coefficients.items()
    )


def _usage_table(usage: Usage) -> pd.DataFrame:
    relative = usage.relative or [math.nan] * len(usage.rise_nats)
    return pd.DataFrame(
        {
            "latent": range(len(usage.rise_nats)),
            "usage_nats": usage.rise_nats,
            "relative_usage": relative,
        }
    )


def _estimators(codes: Codes, spec: ExperimentSpec) -> pd.DataFrame:
    """The entropy of each latent by every estimator, on the first images."""
    mean, diagnostics = codes.mean[:COMPARED_IMAGES], spec.diagnostics
    alpha, sigma = diagnostics.renyi_alpha, diagnostics.sigma
    estimators: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "matrix": lambda x: renyi_entropy(x, alpha=alpha, sigma=sigma).nats,
        "histogram": histogram_entropy,
        "spacings": spacing_entropy,
        "neighbours": nearest_neighbour_entropy,
        "mixture": lambda x: mixture_entropy(x, most_components=3, seed=spec.seeds[0]).nats,
    }
    parts = []
    for name, estimate in estimators.items():
        started = time.process_time()
        nats = estimate(mean)
        milliseconds = 1000 * (time.process_time() - started) / len(nats)
        measured = {"nats": nats, "var_of_mean": mean.var(axis=0), "milliseconds": milliseconds}
        parts.append(pd.DataFrame({"latent": range(len(nats)), "estimator": name, **measured}))
    return pd.concat(parts, ignore_index=True)


def _information(history: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The information at every evaluation; no table where it is not measured."""
    columns = {
        "step": "step",
        "latent": "latent",
        "information_nats": "information_nats",
        "information_baseline_nats": "baseline_nats",
        "information_residual_nats": "residual_nats",
    }
    information = history[list(columns)].rename(columns=columns)
    return {} if information.isna().to_numpy().any() else {"information": information}


def _diagram(
    codes: Codes, subset: EvaluationSubset, spec: ExperimentSpec
) -> dict[str, pd.DataFrame]:
    """What the images share with the latent of largest variance; no table if not measured."""
    n = spec.diagnostics.information_images
    if subset.image_sigma is None or n == 0:
        return {}
    latent = codes.mean[:n, codes.mean.var(axis=0).argmax()]
    joint = joint_entropy(
        subset.inputs.images[:n],
        latent,
        sigma_x=subset.image_sigma,
        sigma=spec.diagnostics.sigma,
    )
    entropies = {
        "image_entropy_nats": [joint.x_nats],
        "entropy_nats": joint.latent_nats,
        "joint_entropy_nats": joint.nats,
    }
    return {"diagram": pd.DataFrame(entropies)}
