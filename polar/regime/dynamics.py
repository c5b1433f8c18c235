"""How the latents develop over training: when each becomes active, and which try and fail.

Notation:
    H(t): entropy of one latent at evaluation t, in nats; active above tau.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64, Num
from scipy.stats import permutation_test, rankdata

from polar.errors import InvalidInput

#: A curve has levelled off if over the last tenth of the steps its mean is at least this part of
#: its maximum. Chosen by us for the paper's Fig. 6, which gives no numbers.
LAST_PART = 0.1
KEPT_PART = 0.95
#: Orders that the permutation test draws; up to 7 latents have fewer, all of which it tries.
PERMUTATIONS = 9999
#: Pairs of latents that the test holds in memory at once: less than 100 MB.
PAIRS_AT_ONCE = 10_000_000

Statistic = Callable[[Float64[np.ndarray, "*b n"]], Float64[np.ndarray, "*b"]]


@dataclass(frozen=True)
class Association:
    """A rank correlation, and how rarely a random order has one as far from 0."""

    #: From -1 to 1.
    statistic: float
    #: Two-sided, of a permutation test; above 0, at most 1.
    p_value: float


@dataclass(frozen=True)
class LearningOrder:
    """Whether the latents that the decoder uses most are learned first.

    Only latents that are active at the end are compared: the others, which never became active
    and are hardly used, would make any order look right.
    """

    #: Latents compared.
    latents: int
    #: Rank correlations of usage and earliness: 1 means that a latent of more usage always comes
    #: first. None for fewer than two latents, and where all are alike in usage or activation step.
    kendall: Association | None
    spearman: Association | None


def latent_curves(
    table: pd.DataFrame, column: str = "judged_entropy_nats"
) -> Float64[np.ndarray, "t m"]:
    """One measure of every latent over training, by ascending step and latent.

    Args:
        table: One row for every evaluation and latent, in any order, with the columns `step`,
            `latent` and the measure, as `diagnostics_table` makes it.
        column: The measure.

    Raises:
        InvalidInput: the table is empty or lacks a column, a latent has no or more than one value
            at a step, or a value is not finite.
    """
    if not {"step", "latent", column} <= set(table.columns) or table.empty:
        raise InvalidInput(
            f"a table of {len(table)} rows with the columns {list(table.columns)}; "
            f"allowed: at least 1 row, with step, latent and {column}"
        )
    if table.duplicated(["step", "latent"]).any():
        twice = table[table.duplicated(["step", "latent"])].iloc[0]
        raise InvalidInput(
            f"latent {twice['latent']} has two rows at step {twice['step']}; allowed: the table "
            "of one run, with one row for every evaluation and latent"
        )
    wide = table.pivot(index="step", columns="latent", values=column)
    curves = wide.sort_index().sort_index(axis="columns").to_numpy(dtype=np.float64)
    if not np.isfinite(curves).all():
        step, latent = np.argwhere(~np.isfinite(curves))[0]
        raise InvalidInput(
            f"{column} of latent {wide.columns[latent]} at step {wide.index[step]} is missing or "
            "not finite; allowed: a finite number for every evaluation and latent"
        )
    return curves


def dynamics_table(table: pd.DataFrame, tau_nats: float) -> pd.DataFrame:
    """What became of each latent over training, one row for each latent.

    Columns: `latent`; `activation_step`, the step of the first evaluation from which on H stays
    above tau to the end, missing for a latent that ends at or below it; `peak_nats` and
    `peak_step`, the largest H and where it is first reached; `final_nats`; `attempted`, whether
    this is an attempted active: H peaks above tau, strictly between the first and the last
    evaluation, and ends below tau / 2; `levelled`, what `has_levelled` says.

    Steps are those of evaluations, without interpolation: a latent became active some time between
    its activation step and the evaluation before, and an attempt between two evaluations goes
    unseen.

    Args:
        table: The diagnostics of one run, as `diagnostics_table` makes it; H is its
            `judged_entropy_nats`.
        tau_nats: A latent is active when H exceeds this.

    Raises:
        InvalidInput: the table is not that of a single run, or tau is negative or not finite.

    Reference: Clapham, Bonheme, Grzes (2026), Figs. 9 and 10, https://arxiv.org/abs/2605.15965
    """
    if not 0 <= tau_nats < np.inf:
        raise InvalidInput(f"tau is {tau_nats} nats; allowed: 0 and above, finite")
    curves = latent_curves(table)  # (t, m)
    steps = np.unique(table["step"])
    peaks = curves.argmax(axis=0)  # (m,)
    inside = (peaks > 0) & (peaks < len(steps) - 1)
    return pd.DataFrame(
        {
            "latent": np.unique(table["latent"]),
            "activation_step": pd.array(
                [_activation_step(steps, curve > tau_nats) for curve in curves.T], dtype="Int64"
            ),
            "peak_nats": curves.max(axis=0),
            "peak_step": steps[peaks],
            "final_nats": curves[-1],
            "attempted": inside & (curves.max(axis=0) > tau_nats) & (curves[-1] < tau_nats / 2),
            "levelled": [has_levelled(steps, curve) for curve in curves.T],
        }
    )


def _activation_step(steps: np.ndarray, active: np.ndarray) -> int | None:
    """The first step of the active stretch at the end, if there is one."""
    stretch = int(np.argmin(active[::-1])) if not active.all() else len(active)
    return int(steps[len(steps) - stretch]) if stretch else None


def has_levelled(steps: Num[np.ndarray, " t"], curve: Float[np.ndarray, " t"]) -> bool:
    """Whether a curve that rises over training has reached its plateau (the paper's Fig. 6).

    It has when its mean over the evaluations in the last tenth of the steps, which include the
    final evaluation, is at least 0.95 of its maximum. A curve that is 0 throughout has levelled.

    Args:
        steps: The steps of the evaluations, ascending, shape (t,), at least one.
        curve: A measure that is at least 0, such as entropy, variance or information; shape (t,).
    """
    last = steps >= (1 - LAST_PART) * steps[-1]
    return bool(curve[last].mean() >= KEPT_PART * curve.max())


def learning_order(dynamics: pd.DataFrame, usage: Float[np.ndarray, " m"]) -> LearningOrder:
    """Whether latents are learned in the order of their relevance for reconstruction.

    Latents that were active before the first evaluation tie with those that it finds active.

    Args:
        dynamics: A table that `dynamics_table` made.
        usage: Rise of the reconstruction loss when the latent is set to its mean, in the order of
            the table's rows, shape (m,), in any unit.

    Raises:
        InvalidInput: the usage has another shape or is not finite.

    Reference: Bonheme and Grzes (2021), the hypothesis, https://arxiv.org/abs/2109.12679
    """
    if usage.shape != (len(dynamics),) or not np.isfinite(usage).all():
        raise InvalidInput(
            f"usage of shape {usage.shape}, {np.isfinite(usage).sum()} values finite; "
            f"allowed: one finite number for each of {len(dynamics)} latents"
        )
    active = dynamics["activation_step"].notna().to_numpy()
    earliness = -dynamics.loc[active, "activation_step"].to_numpy(dtype=np.float64)
    used = usage[active].astype(np.float64)
    return LearningOrder(
        latents=int(active.sum()),
        kendall=_association(_signs_of_pairs, earliness, used),
        spearman=_association(_centred_ranks, earliness, used),
    )


def _association(code: Statistic, a: np.ndarray, b: np.ndarray) -> Association | None:
    """The cosine of two codes: Kendall's tau-b for signs of pairs, Spearman's rho for ranks."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    unit_b = code(b) / np.linalg.norm(code(b))
    scale = np.linalg.norm(code(a))  # the same for every order

    def statistic(orders: np.ndarray, axis: int) -> np.ndarray | np.float64:
        return code(np.moveaxis(orders, axis, -1)) @ unit_b / scale

    test = permutation_test(
        (a,),
        statistic,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=max(1, PAIRS_AT_ONCE // len(a) ** 2),
        rng=np.random.default_rng(0),
    )
    return Association(statistic=float(np.clip(test.statistic, -1, 1)), p_value=float(test.pvalue))


def _signs_of_pairs(values: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(values.shape[-1], k=1)
    return np.sign(values[..., first] - values[..., second])


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    return rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2
