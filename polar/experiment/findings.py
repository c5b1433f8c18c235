"""The findings: what is measured of a run beyond its verdict, as records and tables."""

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
from polar.experiment.drawings import drawings
from polar.measurement.measure import measure
from polar.measurement.tables import (
    measurement_tables,
    representations_table,
    sensitivity_table,
)
from polar.models import Autoencoder
from polar.records.events import Evaluation, HeldOut, Summary
from polar.records.latents import Label
from polar.records.measurement import Criterion, Measurement
from polar.records.sensitivity import Sensitivity
from polar.regime.codes import Codes
from polar.regime.dynamics import LearningOrder, dynamics_table, learning_order
from polar.regime.outliers import about_the_scale
from polar.regime.table import diagnostics_table
from polar.spec import ExperimentSpec
from polar.training.decoding import Decoder, images_decoded
from polar.training.evaluation import as_codes, encode, measured
from polar.training.sensitivity import run_sensitivity
from polar.training.subset import EvaluationSubset

#: Images for the estimators that are only compared, because some of them take a while.
COMPARED_IMAGES = 1000
#: Columns of the table of gains: accuracy with all latents - with the actives alone.
GAIN = [field.name for field in fields(Gain)]


@dataclass(frozen=True)
class Findings:
    """All measures of a run's final latents, and of how they came about."""

    measurement: Measurement
    #: What is said of images that carry most of the ruler's scale; empty without such images.
    about_the_scale: str
    #: None where no images were held out.
    held_out: HeldOut | None
    #: The verdict under other choices of kernel, images, threshold and ruler.
    sensitivity: tuple[Sensitivity, ...]
    order: LearningOrder
    downstream: Downstream | None
    #: Tidy tables by name; `polar.figures` describes their columns.
    tables: dict[str, pd.DataFrame]

    @property
    def new_tables(self) -> dict[str, pd.DataFrame]:
        """The tables without `diagnostics`, which a run writes when training ends."""
        return {name: table for name, table in self.tables.items() if name != "diagnostics"}

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
    held_out: EvaluationSubset | None = None,
) -> Findings:
    """Measures a trained model once more, by every criterion.

    Args:
        model: The model after its last step.
        subset: What the model was evaluated on: the first images of the dataset.
        dataset: The dataset, whose factors the downstream task predicts.
        spec: The spec of the run, with one seed.
        evaluations: All evaluations of the run, by ascending step.
        held_out: Images that training never saw.

    Raises:
        Diverged: a loss is not finite.
        InvalidInput: the dataset's factors cannot be predicted.
    """
    final, diagnostics = evaluations[-1], spec.diagnostics
    with measured(model):
        encoding = encode(model, subset.inputs)
        decoder = Decoder.of(
            model, encoding, subset, spec.model.likelihood, at_most=images_decoded(final.step)
        )
        codes = as_codes(encoding)
        sensitivities = run_sensitivity(codes, decoder, spec, final)
    usage = np.array([latent.usage_nats for latent in final.latents])
    measurement = measure(
        codes.mean,
        codes.variance,
        prior_mean=codes.prior_mean,
        prior_variance=codes.prior_variance,
        usage=usage,
        ruler=diagnostics.ruler,
        sigma=diagnostics.sigma,
        renyi_alpha=diagnostics.renyi_alpha,
        tau_std=diagnostics.tau_std,
        seed=spec.seeds[0],
    )
    history = diagnostics_table(evaluations)
    dynamics = dynamics_table(history, final.verdict.tau_nats)
    order = learning_order(dynamics, usage)
    with measured(model):
        keep_curve = _keep_curve(decoder, usage)
        drawn = drawings(model, encoding, codes, subset, spec)
    downstream = _downstream(codes, dataset, spec, final)
    unseen = None if held_out is None else _held_out(model, codes, held_out, spec)
    tables = {
        "diagnostics": history,
        **measurement_tables(measurement),
        "usage": _usage_table(usage, keep_curve, decoder.subset),
        "keep_curve": keep_curve,
        "sensitivity": sensitivity_table(sensitivities),
        "dynamics": dynamics,
        "representations": representations_table(codes, measurement),
        "estimators": _estimators(codes, spec),
        **_information(history),
        **_diagram(codes, subset, spec),
        "learning_order": _order_table(order),
        **_downstream_tables(downstream),
        **_held_out_table(unseen),
        **drawn,
    }
    return Findings(
        measurement=measurement,
        about_the_scale=about_the_scale(codes, diagnostics.ruler),
        held_out=unseen,
        sensitivity=sensitivities,
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


def _keep_curve(decoder: Decoder, usage: np.ndarray) -> pd.DataFrame:
    """R with the k most used latents kept, and the latent that comes in at each k."""
    order = np.argsort(-usage, kind="stable").tolist()
    parts = decoder.keep_curve(order)
    latents = pd.array([None, *order], dtype="Int64")
    return pd.DataFrame({"k": range(len(parts)), "latent": latents, "explained": parts})


def _usage_table(
    usage: np.ndarray, keep_curve: pd.DataFrame, decoded: EvaluationSubset
) -> pd.DataFrame:
    """The usage of each latent, and as a part of what all latents explain together.

    Reference: Chen, Fuge (2024), https://openreview.net/forum?id=jFJPd9kIiF
    """
    parts = keep_curve["explained"]
    all_nats = (parts.iloc[-1] - parts.iloc[0]) * (decoded.mean_image - decoded.floor).mean()
    return pd.DataFrame(
        {
            "latent": range(len(usage)),
            "usage_nats": usage,
            "relative_usage": usage / all_nats if all_nats > 0 else math.nan,
        }
    )


def _held_out(
    model: Autoencoder,
    trained_on: Codes,
    held_out: EvaluationSubset,
    spec: ExperimentSpec,
) -> HeldOut:
    diagnostics = spec.diagnostics
    with measured(model):
        encoding = encode(model, held_out.inputs)
        part = Decoder.of(model, encoding, held_out, spec.model.likelihood).explained()
    here = as_codes(encoding).in_units_of(diagnostics.ruler, like=trained_on).mean
    there = trained_on.in_units_of(diagnostics.ruler).mean
    n = min(len(here), len(there))  # the entropy of fewer images is smaller
    nats, nats_there = (
        renyi_entropy(mean[:n], alpha=diagnostics.renyi_alpha, sigma=diagnostics.sigma).nats
        for mean in (here, there)
    )
    return HeldOut(
        images=n,
        explained=part.part,
        explained_se=part.se,
        entropies_nats=tuple(nats.tolist()),
        training_entropies_nats=tuple(nats_there.tolist()),
        largest_difference_nats=float(np.abs(nats - nats_there).max()),
    )


def _held_out_table(unseen: HeldOut | None) -> dict[str, pd.DataFrame]:
    if unseen is None:
        return {}
    here, there = np.array(unseen.entropies_nats), np.array(unseen.training_entropies_nats)
    columns = {"latent": range(len(here)), "held_out_nats": here, "training_nats": there}
    return {"held_out": pd.DataFrame({**columns, "difference_nats": here - there})}


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
        columns = {"nats": nats, "var_of_mean": mean.var(axis=0), "milliseconds": milliseconds}
        parts.append(pd.DataFrame({"latent": range(len(nats)), "estimator": name, **columns}))
    return pd.concat(parts, ignore_index=True)


def _information(history: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The information at the evaluations that measure it; no table where none does."""
    columns = {
        "step": "step",
        "latent": "latent",
        "information_nats": "information_nats",
        "information_baseline_nats": "baseline_nats",
        "information_residual_nats": "residual_nats",
    }
    information = history[list(columns)].rename(columns=columns).dropna(ignore_index=True)
    return {} if information.empty else {"information": information}


def _diagram(
    codes: Codes, subset: EvaluationSubset, spec: ExperimentSpec
) -> dict[str, pd.DataFrame]:
    """What the images share with the latent of largest variance; no table if not measured."""
    n = spec.diagnostics.information_images
    if subset.image_sigma is None or n == 0:
        return {}
    mean = codes.in_units_of(spec.diagnostics.ruler).mean
    latent = mean[:n, mean.var(axis=0).argmax()]
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
