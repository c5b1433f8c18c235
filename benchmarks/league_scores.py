"""The numbers of the league: agreement of labels with usage, areas under curves, stability.

Notation:
    used: a latent with more than 1 % of the summed usage of its training.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64

from polar.entropy.gaussian import gaussian_entropy
from polar.records.events import RESULT_FILE
from polar.records.latents import Label, LatentDiagnostics, LatentMeasures, Verdict
from polar.records.measurement import Criterion
from polar.regime.decoding import Decoding, Explained
from polar.regime.threshold import GROUP_RULES, GroupRule, group_cut
from polar.regime.usage import USED_FROM, area_under_curve
from polar.regime.verdict import judge, labelled
from polar.spec.training import DEFAULT_RENYI_ALPHA, DEFAULT_SIGMA

OURS = "ours"
#: The same without the latents that the verdict names idle. It knows the usage and is no rival.
WITHOUT_IDLE = "ours, idle latents left out"
#: The rules that draw a line through the entropies, and the criteria, without those that are
#: among the rules.
RULES = (
    OURS,
    "fixed, absolute",
    *(f"{rule}, {ruler}" for ruler in ("scaled", "absolute") for rule in GROUP_RULES),
)
CRITERIA = tuple(
    criterion.value
    for criterion in Criterion
    if criterion not in (Criterion.ENTROPY, Criterion.ENTROPY_ABSOLUTE)
)
RESAMPLES = 2000
#: Noise under which a verdict should stand: relative, on every std and on every usage.
STD_NOISE, USAGE_NOISE = 0.1, 0.2
NOISE_DRAWS = 100
#: Fewer for the labels, because a mixture is fitted in each draw.
LABEL_DRAWS = 10
#: The kernel of the league's trainings.
KERNEL = {"sigma": DEFAULT_SIGMA, "renyi_alpha": DEFAULT_RENYI_ALPHA}


@dataclass(frozen=True)
class Outcome:
    """What has come out of one training."""

    name: str
    dataset: str
    family: str
    settled: bool
    latents: tuple[LatentDiagnostics, ...]
    verdict: Verdict
    #: The threshold of our rule, in units of the ruler.
    tau_std: float
    #: A row for each latent: whether each rule and criterion calls it active, as 1 and 0, or
    #: missing where it does not say; by the name of the rule.
    active: pd.DataFrame
    #: A row for each latent: the score of each criterion, by its name.
    scores: pd.DataFrame

    @property
    def usage(self) -> Float64[np.ndarray, " m"]:
        """The usage of each latent, nats per image."""
        return np.array([latent.usage_nats for latent in self.latents], dtype=np.float64)

    @property
    def share(self) -> Float64[np.ndarray, " m"]:
        """The share of each latent in the summed usage; noise can make it negative."""
        usage = self.usage
        return usage / np.maximum(usage, 0).sum()

    @property
    def used(self) -> np.ndarray:
        """Whether the decoder uses each latent."""
        return self.share > USED_FROM


def outcome(folder: Path, *, dataset: str, family: str) -> Outcome:
    """Reads what a finished training has left in its folder."""
    result = json.loads((folder / RESULT_FILE).read_bytes())
    latents = tuple(map(LatentDiagnostics.model_validate, result["final"]["latents"]))
    verdict = Verdict.model_validate(result["final"]["verdict"])
    labels = pd.read_parquet(folder / "labels.parquet")
    by_criterion = labels.pivot(index="latent", columns="criterion", values="label")
    spec = result["spec"]["diagnostics"]
    kernel = {"sigma": spec["sigma"], "renyi_alpha": spec["renyi_alpha"]}
    scaled, absolute = (
        np.array([getattr(latent, field) for latent in latents])
        for field in ("judged_entropy_nats", "entropy_nats")
    )
    is_idle = [bool(latent.is_idle) for latent in latents]
    active: dict[str, np.ndarray | pd.Series[float]] = {
        OURS: scaled > verdict.tau_nats,
        WITHOUT_IDLE: np.where(is_idle, np.nan, scaled > verdict.tau_nats),
        "fixed, absolute": absolute > verdict.tau_nats,
    }
    for rule in GROUP_RULES:
        for ruler, entropies in (("scaled", scaled), ("absolute", absolute)):
            tau = group_cut(rule, entropies.tolist(), **kernel).tau_nats
            # A rule that sees no regime leaves the line where it is fixed.
            active[f"{rule}, {ruler}"] = entropies > (verdict.tau_nats if tau is None else tau)
    for criterion in by_criterion.columns.intersection(list(CRITERIA)):
        said = by_criterion[criterion]
        is_active = (said != Label.PASSIVE.value).astype(np.float64)
        active[criterion] = is_active.where(said != Label.UNDETERMINED.value)
    return Outcome(
        name=folder.name,
        dataset=dataset,
        family=family,
        settled=result["settled"],
        latents=latents,
        verdict=verdict,
        tau_std=spec["tau_std"],
        active=pd.DataFrame(active).astype(np.float64),
        scores=labels.pivot(index="latent", columns="criterion", values="score"),
    )


@dataclass(frozen=True)
class Part:
    """A part of the latents, with its interval of 95 % over resampled trainings."""

    part: float
    low: float
    high: float
    latents: int


def agreement(outcomes: Sequence[Outcome], rule: str) -> Part | None:
    """The part of the latents that a rule labels as the decoder uses them.

    The trainings are resampled, because the latents of a training are not independent. None where
    the rule says nothing of these trainings.
    """
    counts = []
    for training in outcomes:
        if rule in training.active:
            said = training.active[rule].to_numpy()
            compared = ~np.isnan(said)
            right = (said == training.used) & compared
            counts.append((right.sum(), compared.sum()))
    if not sum(compared for _, compared in counts):
        return None
    right, compared = np.array(counts).T
    drawn = np.random.default_rng(0).integers(0, len(counts), (RESAMPLES, len(counts)))
    sums = compared[drawn].sum(axis=1)
    low, high = np.quantile(right[drawn].sum(axis=1)[sums > 0] / sums[sums > 0], (0.025, 0.975))
    return Part(right.sum() / compared.sum(), low, high, int(compared.sum()))


def mean_area(outcomes: Sequence[Outcome], criterion: str) -> tuple[float, int] | None:
    """The mean area under the curve of a criterion's score, and over how many trainings.

    The area is the probability that a used latent has a larger score than an unused one; it is
    not defined for a training that uses all of its latents, or none.
    """
    areas = [
        area_under_curve(training.scores[criterion].to_numpy(), training.used)
        for training in outcomes
        if criterion in training.scores
    ]
    defined = [area for area in areas if area is not None]
    return (float(np.mean(defined)), len(defined)) if defined else None


def flips(training: Outcome, rng: np.random.Generator) -> tuple[float, float]:
    """How often noise changes the regime of our verdict, and that of the paper's.

    The actives that a draw adds or takes away are taken to carry their share of the usage.
    """
    verdict = training.verdict
    if verdict.explained is None or verdict.explained_se is None:
        raise ValueError(f"{training.name} has no R; allowed: trainings of the league")
    decoding = Decoding(
        reconstruction_nats=math.inf,  # no verdict goes by it
        explained=Explained(verdict.explained, verdict.explained_se),
        explained_by_prior=verdict.explained_by_prior,
        carried_by_actives=verdict.sufficiency or 0.0,
        usage_nats=tuple(training.usage.tolist()),
    )
    was_active = training.active[OURS].to_numpy()
    ours = papers = 0
    for _ in range(NOISE_DRAWS):
        factors = np.exp(STD_NOISE * rng.standard_normal(len(training.latents)))
        usage = training.usage * np.exp(USAGE_NOISE * rng.standard_normal(len(factors)))
        measures = [
            _with_std(latent, latent.equivalent_std * factor)
            for latent, factor in zip(training.latents, factors.tolist(), strict=True)
        ]
        noisy = labelled(measures, verdict.tau_nats, usage.tolist())
        is_active = np.array([latent.label is Label.ACTIVE for latent in noisy])
        carried = decoding.carried_by_actives + float((is_active - was_active) @ training.share)
        judged = judge(
            noisy,
            tau_std=training.tau_std,
            tau_nats=verdict.tau_nats,
            decoding=replace(decoding, carried_by_actives=carried),
            settled=verdict.settled,
        )
        ours += judged.regime is not verdict.regime
        papers += judged.paper_regime is not verdict.paper_regime
    return ours / NOISE_DRAWS, papers / NOISE_DRAWS


def label_flips(training: Outcome, rule: GroupRule | None, rng: np.random.Generator) -> float:
    """The part of the latents whose label a rule changes under noise, by the scaled ruler.

    Args:
        training: The training whose latents are labelled.
        rule: The rule; None for ours.
        rng: Where the noise comes from.
    """
    tau_nats = training.verdict.tau_nats

    def is_active(stds: Float64[np.ndarray, " m"]) -> np.ndarray:
        nats = [gaussian_entropy(std) for std in stds.tolist()]
        cut = None if rule is None else group_cut(rule, nats, **KERNEL).tau_nats
        return np.array(nats) > (tau_nats if cut is None else cut)

    stds = np.array([latent.equivalent_std for latent in training.latents])
    noise = np.exp(STD_NOISE * rng.standard_normal((LABEL_DRAWS, len(stds))))
    return float(np.mean([is_active(stds * draw) != is_active(stds) for draw in noise]))


def _with_std(latent: LatentMeasures, std: float) -> LatentMeasures:
    measures = {name: getattr(latent, name) for name in LatentMeasures.model_fields}
    nats = gaussian_entropy(std)
    return LatentMeasures(**measures | {"equivalent_std": std, "judged_entropy_nats": nats})
