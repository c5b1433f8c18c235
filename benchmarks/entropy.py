"""Marginal and joint entropies, compared with their definitions and with other estimators.

    python -m benchmarks.entropy --out DIR

Times are CPU times of one thread. What is compared takes turns, and medians are shown; only the
definition of order 1.01 at 10,000 samples is timed once, because it takes minutes. The definition
and vendi-score are timed on one latent, and the time is multiplied by the number of latents. The
packages that we are compared with are installed in DIR, for this interpreter; scipy's
estimator is one of our dependencies. It takes 8 minutes.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from scipy.stats import differential_entropy

from benchmarks import joint
from benchmarks.environments import environment, modules_of
from benchmarks.results import Bar, Cell, Measured, Options, Table, run, use_one_thread
from benchmarks.timing import extra_mib, medians, seconds_of
from polar.entropy import renyi_entropy
from polar.entropy.bump_grid import gram_blocks
from polar.entropy.differential import nearest_neighbour_entropy
from polar.entropy.spectrum import spectral_entropy

LATENTS = 32
PEERS = ("vendi-score==0.0.3", "npeet-plus==0.2.0")


def gram(x: np.ndarray) -> np.ndarray:
    return np.exp(-((x[:, None] - x) ** 2) / (2 * 0.5**2))


def by_eigenvalues(x: np.ndarray) -> float:
    p = np.linalg.eigvalsh(gram(x) / len(x)).clip(0)
    return float(np.log(np.sum(p[p > 0] ** 1.01)) / (1 - 1.01))


def by_frobenius(x: np.ndarray) -> float:
    return float(-np.log(np.square(gram(x) / len(x)).sum()))


def against_the_definition(
    n: int,
    alpha: float,
    naive: Callable[[np.ndarray], float],
    vendi: Any,  # noqa: ANN401
) -> list[Cell]:
    x = np.random.default_rng(0).standard_normal((n, LATENTS))
    functions: dict[str, Callable[[], object]] = {"ours": lambda: renyi_entropy(x, alpha=alpha)}
    exact: list[float] = []
    if n <= 2000:
        functions["vendi"] = lambda: vendi.score_K(gram(x[:, 0]), q=alpha)
    is_slow = alpha != 2 and n > 2000
    if not is_slow:
        functions["naive"] = lambda: exact.append(naive(x[:, 0]))
    seconds = medians(functions, 5)
    naive_s: list[float] = []
    mib = extra_mib(lambda: naive_s.append(seconds_of(lambda: exact.append(naive(x[:, 0])))))
    theirs = LATENTS * seconds.get("naive", naive_s[0])
    of_vendi = LATENTS * seconds["vendi"] if "vendi" in seconds else None
    entropy = renyi_entropy(x, alpha=alpha)
    return [
        alpha, n, theirs, of_vendi, seconds["ours"] * 1e3, theirs / seconds["ours"], mib,
        extra_mib(lambda: renyi_entropy(x, alpha=alpha)),
        float(abs(entropy.nats[0] - exact[0])), float(entropy.error_bound_nats.max()),
    ]  # fmt: skip


def growth(n: int) -> list[Cell]:
    x = np.random.default_rng(0).standard_normal((n, LATENTS))
    seconds = medians({"ours": lambda: renyi_entropy(x)}, 3)["ours"]
    mib = extra_mib(lambda: renyi_entropy(x))
    return [n, seconds, seconds / n / LATENTS * 1e9, mib]


def against_estimators(n: int, npeet: Any) -> list[Cell]:  # noqa: ANN401
    x = np.random.default_rng(0).standard_normal((n, LATENTS))
    seconds = medians(
        {
            "1.01": lambda: renyi_entropy(x),
            "2": lambda: renyi_entropy(x, alpha=2),
            "scipy": lambda: differential_entropy(x, axis=0),
            "npeet": lambda: [npeet.entropy(x[:, [j]], k=3) for j in range(LATENTS)],
            "kNN": lambda: nearest_neighbour_entropy(x),
        },
        3,
    )
    ratios = [seconds[name] / seconds["1.01"] for name in ("scipy", "npeet")]
    return [n, *(value * 1e3 for value in seconds.values()), *ratios]


def against_eigenvalues(n: int, spread: float) -> list[Cell]:
    """A wide latent by determinants, compared with the eigenvalues of the same band matrices."""
    x = np.random.default_rng(0).normal(0, spread, n)
    entropy = renyi_entropy(x)
    blocks = gram_blocks(torch.from_numpy(x), sigma=0.5, budget=1e-9)
    p = [np.zeros(0)]
    slow = seconds_of(lambda: p.extend(block.eigenvalues() for block in blocks))
    difference = abs(entropy.nats[0] - spectral_entropy(np.concatenate(p), 1.01))
    return [
        spread, n, int(entropy.nodes[0]), seconds_of(lambda: renyi_entropy(x)), slow,
        float(difference), float(entropy.error_bound_nats[0]),
    ]  # fmt: skip


def measured(options: Options) -> Measured:
    folder = options.out / "environments" / "peers"
    sys.path.append(modules_of(environment(folder, *PEERS, with_dependencies=False)))
    vendi, npeet = import_module("vendi_score.vendi"), import_module("npeet_plus")
    quick = options.quick
    torch.set_num_threads(1)
    renyi_entropy(np.arange(9.0))
    definitions = [
        against_the_definition(n, alpha, naive, vendi)
        for alpha, naive in ((1.01, by_eigenvalues), (2.0, by_frobenius))
        for n in ((500, 1_000) if quick else (2_000, 10_000))
    ]
    grown = [growth(n) for n in ((1_000, 10_000) if quick else (10_000, 100_000, 1_000_000))]
    peers = [against_estimators(n, npeet) for n in ((1_000,) if quick else (10_000, 100_000))]
    wide = [
        against_eigenvalues(10_000, spread) for spread in ((100,) if quick else (100, 300, 1000))
    ]
    return Measured(
        [
            Table(
                f"{LATENTS} marginal entropies by their definition and by us",
                ["order", "n", "definition, s", "vendi-score, s", "ours, ms", "definition / ours",
                 "its memory, MiB", "our memory, MiB", "error, nats", "bound, nats"],
                definitions,
            ),
            Table(
                f"{LATENTS} marginal entropies of order 1.01 as n grows",
                ["n", "s", "ns a sample and latent", "extra memory, MiB"],
                grown,
            ),
            Table(
                f"Estimators of {LATENTS} marginal entropies",
                ["n", "order 1.01, ms", "order 2, ms", "scipy, ms", "kNN of npeet-plus, ms",
                 "our kNN, ms", "scipy / order 1.01", "npeet-plus / order 1.01"],
                peers,
            ),
            Table(
                "A wide latent of order 1.01",
                ["spread", "n", "nodes", "ours, s", "eigenvalues, s", "difference, nats", "bound"],
                wide,
            ),
            *joint.tables(options),
        ],
        [] if quick else bars(definitions, grown),
    )  # fmt: skip


def bars(definitions: Sequence[Sequence[Any]], grown: Sequence[Sequence[Any]]) -> list[Bar]:
    ratio, (_, seconds, _, mib) = definitions[-1][5], grown[-1]
    return [
        Bar(f"order 2, 10,000 x {LATENTS}, to its definition", ratio, 3000, "x", is_least=True),
        Bar(f"order 1.01, 1,000,000 x {LATENTS}, one core", seconds, 0.5, "s"),
        Bar("its memory beside the samples", mib, 35, "MiB"),
    ]


def main() -> None:
    use_one_thread()
    run("entropy", measured, __doc__ or "")


if __name__ == "__main__":
    main()
