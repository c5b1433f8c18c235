"""How well each signal finds mixed latents, on synthetic latents whose kinds are known.

    python -m benchmarks.mixed

Each model has 24 latents over the same images: 6 active, 6 passive, 6 mixed and 6 decoys. An
object is absent from a fraction q of the images, where all mixed latents are passive. The decoys
are active in all images but look mixed to some signals: either their variance is spread evenly
over (0, 1), or their mean is a spike and slab with a constant variance.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64
from scipy.special import expit, logit

from polar.entropy import renyi_entropy
from polar.records.latents import Label
from polar.regime.codes import Codes, codes
from polar.regime.mixed import mixed_scores, two_signal_labels, variance_signals
from polar.regime.threshold import tau_in_nats
from polar.regime.usage import area_under_curve
from polar.spec.training import DEFAULT_RENYI_ALPHA, DEFAULT_SIGMA, DEFAULT_TAU_STD

EACH = 6
IMAGES = 2000
SIGMA, RENYI_ALPHA = DEFAULT_SIGMA, DEFAULT_RENYI_ALPHA
TAU = tau_in_nats(DEFAULT_TAU_STD, n=IMAGES, sigma=SIGMA, renyi_alpha=RENYI_ALPHA)

SIGNALS = {
    "H(mu)": "mean_entropy_nats",
    "Var(mu)": "var_of_mean",
    "H(v)": "variance_entropy_nats",
    "KL bimodality": "kl_bimodality",
    "subset entropy": "subset_entropy_nats",
    "two signals": "two_signals",
}


@dataclass(frozen=True)
class Latents:
    """Codes of one synthetic model, and the kind of each latent."""

    codes: Codes
    #: `active`, `passive`, `mixed` or `decoy`, for each latent.
    kinds: Sequence[str]


def synthetic(absent: float, seed: int, n: int = IMAGES) -> Latents:
    """A model whose mixed latents encode an object that is absent from a fraction of the images.

    The variance of a latent's mean and that of its posterior sum to the prior's: Var mu + v = 1.
    """
    rng = np.random.default_rng(seed)
    is_absent = (rng.random(n) < absent)[:, None]

    def active() -> tuple[Float64[np.ndarray, "n m"], Float64[np.ndarray, "n m"]]:
        level = rng.uniform(0.01, 0.1, EACH)
        variance = expit(logit(level) + rng.normal(0, 0.4, (n, EACH)))
        return rng.normal(0, np.sqrt(1 - level), (n, EACH)), variance

    def passive() -> tuple[Float64[np.ndarray, "n m"], Float64[np.ndarray, "n m"]]:
        level = rng.uniform(0.01, 0.15, EACH)  # the KL divergence is about what counts as none
        return rng.normal(0, level, (n, EACH)), np.exp(rng.normal(0, level, (n, EACH)))

    def decoys() -> tuple[Float64[np.ndarray, "n m"], Float64[np.ndarray, "n m"]]:
        mean, variance = active()
        smooth = rng.uniform(0.02, 0.98, (n, EACH // 2))
        slab = np.where(rng.random((n, EACH // 2)) < 0.3, 1.8, 0.05)
        mean[:, : EACH // 2] = rng.normal(0, np.sqrt(1 - smooth))
        mean[:, EACH // 2 :] = rng.normal(0, slab)
        variance[:, : EACH // 2] = smooth
        return mean, variance

    on, off = active(), passive()
    mixed = [np.where(is_absent, a, b) for a, b in zip(off, on, strict=True)]
    groups = (active(), passive(), mixed, decoys())
    mean, variance = (np.hstack(part) for part in zip(*groups, strict=True))
    kinds = [kind for kind in ("active", "passive", "mixed", "decoy") for _ in range(EACH)]
    return Latents(codes(mean, variance), kinds)


def areas(latents: Latents, seed: int) -> dict[str, float | None]:
    """AUC of each signal: mixed against all others, and against active and decoys only."""
    signals = _signals(latents.codes, seed)
    without_variance = _signals(codes(latents.codes.mean), seed)["subset entropy"]
    signals["subset entropy, deterministic"] = without_variance
    kinds = np.array(latents.kinds)
    rivals = kinds != "passive"
    return {
        f"{name}|{against}": area_under_curve(score[among], kinds[among] == "mixed")
        for name, score in signals.items()
        for against, among in {"all": kinds != "", "active": rivals}.items()
    }


def _signals(latents: Codes, seed: int) -> dict[str, Float64[np.ndarray, " m"]]:
    entropies = renyi_entropy(latents.mean, alpha=RENYI_ALPHA, sigma=SIGMA).nats.tolist()
    scores = mixed_scores(
        latents,
        entropies,
        variance_signals(latents, renyi_alpha=RENYI_ALPHA),
        ruler="absolute",  # the synthetic codes are in units of their prior
        sigma=SIGMA,
        renyi_alpha=RENYI_ALPHA,
        tau=TAU,
        rng=np.random.default_rng(seed),
    )
    return {
        name: np.array([getattr(score, field) or 0.0 for score in scores])
        for name, field in SIGNALS.items()
    }


def accuracy(latents: Latents) -> float:
    """Fraction of the latents that the two signals correctly call mixed or not mixed."""
    entropies = renyi_entropy(latents.codes.mean, alpha=RENYI_ALPHA, sigma=SIGMA).nats.tolist()
    signals = variance_signals(latents.codes, renyi_alpha=RENYI_ALPHA)
    labels = two_signal_labels(entropies, signals, tau=TAU)
    pairs = zip(labels, latents.kinds, strict=True)
    return float(np.mean([(x.label is Label.MIXED) == (kind == "mixed") for x, kind in pairs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    rows = [
        {"absent": q, **areas(synthetic(q, seed), seed), "accuracy": accuracy(synthetic(q, seed))}
        for q in (0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95)
        for seed in seeds
    ]
    table = pd.DataFrame(rows).groupby("absent").mean()
    for against in ("all", "active"):
        columns = table.filter(like=f"|{against}").rename(columns=lambda c: c.split("|")[0])
        print(f"\nAUC of mixed against {against}; mean of {len(seeds)} seeds")
        print(columns.T.to_string(float_format="{:.3f}".format))
    print("\nfraction of latents correctly called mixed or not mixed by the two signals")
    print(table[["accuracy"]].T.to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
