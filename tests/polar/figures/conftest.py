"""Made-up tables that look like measured ones, and what to ask of a drawn figure."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

TAU = 0.25


def run_table(
    latents: int = 16,
    active: int = 6,
    attempts: int = 2,
    steps: Sequence[int] = (10, 30, 100, 200, 400, 800, 1600, 3000, 5000, 8000),
    is_ivae: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Diagnostics: the first latents become active, the next ones nearly, the rest collapses."""
    random = np.random.default_rng(seed)
    grown = np.linspace(0, 1, len(steps))
    rows = []
    for latent in range(latents):
        height = 1.8 - 0.5 * latent / latents + 0.05 * random.normal()
        if latent < active:
            course = height * (1 - np.exp(-grown * (8 - 4 * latent / max(active, 1))))
        elif latent < active + attempts:
            course = 0.9 * np.exp(-(((grown - 0.4 - 0.05 * latent % 0.2) / 0.2) ** 2)) + 0.03
        else:
            course = (0.2 * random.random() + 0.1) * np.exp(-4 * grown) + 0.01 * random.random()
        for step, entropy in zip(steps, course, strict=True):
            information = 0.97 * entropy
            rows.append(
                {
                    "epoch": step / 100,
                    "step": step,
                    "latent": latent,
                    "entropy_nats": max(entropy, 0.9 + 0.03 * latent) if is_ivae else entropy,
                    "judged_entropy_nats": entropy,
                    "information_nats": information,
                    "information_residual_nats": entropy - information,
                    "var_of_mean": (np.exp(entropy) - 1) ** 2 / 25,
                    "label": "active" if entropy > TAU else "passive",
                }
            )
    return pd.DataFrame(rows)


def sweep_table(
    weights: Sequence[float] = (0.1, 0.5, 1.0, 4.0),
    latents: int = 16,
    seeds: Sequence[int] = (0, 1, 2),
    weight_name: str = "beta",
    model: str = "beta_vae",
    is_ivae: bool = False,
) -> pd.DataFrame:
    """Diagnostics of the ends of runs: the larger the weight, the fewer active latents."""
    runs = []
    for place, weight in enumerate(weights):
        for seed in seeds:
            active = round(latents * (1 - place / max(len(weights) - 1, 1)))
            run = run_table(latents, active, 0, (100, 1000), is_ivae, seed)
            run.insert(0, "seed", seed)
            run.insert(0, "weight", weight)
            run.insert(0, "weight_name", weight_name)
            run.insert(0, "dataset", "smallnorb")
            run.insert(0, "model", model)
            run.insert(0, "run", f"run-{weight}-{seed}")
            runs.append(run)
    return pd.concat(runs, ignore_index=True)


def dynamics_table(run: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for latent, own in run.sort_values("step").groupby("latent"):
        entropy = own["judged_entropy_nats"].to_numpy()
        steps = own["step"].to_numpy()
        is_above = entropy > TAU
        rows.append(
            {
                "latent": latent,
                "activation_step": steps[is_above.argmax()] if is_above[-1] else None,
                "peak_nats": entropy.max(),
                "peak_step": steps[entropy.argmax()],
                "final_nats": entropy[-1],
                "attempted": bool(entropy[1:].max() > TAU and entropy[-1] < TAU / 2),
            }
        )
    return pd.DataFrame(rows)


def usage_table(run: pd.DataFrame) -> pd.DataFrame:
    final = run[run["step"] == run["step"].max()]
    usage = 3 * final["judged_entropy_nats"].to_numpy() ** 3
    return pd.DataFrame(
        {"latent": final["latent"], "usage_nats": usage, "relative_usage": usage / 100}
    )


def keep_curve_table(run: pd.DataFrame) -> pd.DataFrame:
    order = usage_table(run).sort_values("usage_nats", ascending=False)["latent"].tolist()
    explained = 0.9 * (1 - np.exp(-np.arange(len(order) + 1) / 3))
    latents = pd.array([None, *order], dtype="Int64")
    return pd.DataFrame({"k": range(len(order) + 1), "latent": latents, "explained": explained})


def information_table(run: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "step": run["step"],
            "latent": run["latent"],
            "entropy_nats": run["entropy_nats"],
            "information_nats": run["information_nats"],
            "baseline_nats": 0.08 * run["entropy_nats"],
            "residual_nats": run["entropy_nats"] - run["information_nats"],
        }
    )


def estimators_table(
    run: pd.DataFrame, estimators: Sequence[str] = ("renyi", "histogram", "kozachenko_leonenko")
) -> pd.DataFrame:
    final = run[run["step"] == run["step"].max()]
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "latent": final["latent"],
                    "estimator": estimator,
                    "nats": final["entropy_nats"]
                    if place == 0
                    else 1.42 + 0.5 * np.log(final["var_of_mean"]) + 0.1 * place,
                    "var_of_mean": final["var_of_mean"],
                    "milliseconds": 0.3 * 5.0**place,
                }
            )
            for place, estimator in enumerate(estimators)
        ],
        ignore_index=True,
    )


def spike_and_slab_table(
    estimators: Sequence[str] = ("renyi", "kozachenko_leonenko"), seeds: Sequence[int] = (0, 1, 2)
) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "pi": pi,
            "seed": seed,
            "estimator": estimator,
            "nats": 2.3 * pi**0.6 - 2.8 * place + 0.05 * seed,
            "variance": 1 + 0.02 * random.normal() / pi,
        }
        for pi in (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
        for seed in seeds
        for place, estimator in enumerate(estimators)
    )


def agreement_table(criteria: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "criterion_a": a,
            "criterion_b": b,
            "kappa": None if a == "two_signals" else 1 - 0.04 * i,
            "agreement": 1.0 if a == "two_signals" else 1 - i / 128,
            "compared": 128,
        }
        for i, (a, b) in enumerate(combinations(criteria, 2))
    )


def downstream_table(
    factors: Sequence[str] = ("category",), latents: int = 16, seeds: Sequence[int] = (0, 1, 2)
) -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = []
    for place, factor in enumerate(factors):
        for k in range(1, latents + 1):
            for control in ("none", "unpenalised", "shuffled_passives", "residual_passives"):
                for representation in ("raw", "standardised"):
                    of_actives = 0.3 + 0.4 * (1 - np.exp(-min(k, 6) / 2)) - 0.05 * place
                    sees = control in ("unpenalised", "residual_passives") or (
                        control == "none" and representation == "standardised"
                    )
                    gain = 0.01 * max(0, k - 6) * (0.5 if control == "residual_passives" else 1)
                    for seed in seeds:
                        rows.append(
                            {
                                "factor": factor,
                                "k": k,
                                "representation": representation,
                                "control": control,
                                "seed": seed,
                                "accuracy": of_actives + sees * gain + 0.004 * random.normal(),
                            }
                        )
    return pd.DataFrame(rows)


def representations_table(
    kinds: Sequence[str] = ("active", "passive", "mixed"), images: int = 2000
) -> pd.DataFrame:
    random = np.random.default_rng(0)
    parts = []
    for latent, kind in enumerate(kinds):
        is_on = random.random(images) < {"active": 1.0, "passive": 0.0, "mixed": 0.4}[kind]
        mean = np.where(is_on, random.normal(size=images), 0.03 * random.normal(size=images))
        variance = np.where(is_on, 0.03, 0.97) * np.exp(0.05 * random.normal(size=images))
        parts.append(
            pd.DataFrame({"latent": latent, "label": kind, "mean": mean, "variance": variance})
        )
    return pd.concat(parts, ignore_index=True)


def intervals_table(run: pd.DataFrame) -> pd.DataFrame:
    final = run[run["step"] == run["step"].max()]
    entropies = final["judged_entropy_nats"]
    return pd.DataFrame(
        {
            "latent": final["latent"],
            "judged_entropy_nats": entropies,
            "low_nats": 0.97 * entropies,
            "high_nats": 1.02 * entropies,
            "label": final["label"],
        }
    )


def rules_table() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"method": "fixed", "tau_nats": 0.25, "low_nats": None, "high_nats": None},
            {"method": "gap", "tau_nats": 0.7, "low_nats": 0.5, "high_nats": 0.8},
            {"method": "otsu", "tau_nats": 0.6, "low_nats": 0.4, "high_nats": 0.9},
            {"method": "mixture", "tau_nats": None, "low_nats": None, "high_nats": None},
            {"method": "noise_floor", "tau_nats": 0.02, "low_nats": 0.01, "high_nats": 0.03},
        ]
    )


def diagram_table() -> pd.DataFrame:
    entropies = {"image_entropy_nats": 6.9, "entropy_nats": 3.1, "joint_entropy_nats": 7.02}
    return pd.DataFrame([entropies])


def written(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text in sight with its place, in pixels."""
    figure.draw_without_rendering()  # ticks and layout are made while drawing
    hidden = {text for axes in figure.axes for text in out_of_sight(axes)}
    return [
        (text.get_text(), Text.get_window_extent(text))  # not the line of an annotation
        for text in figure.findobj(Text)
        if isinstance(text, Text)
        and text.get_visible()
        and text.get_text().strip()
        and text not in hidden
    ]


def out_of_sight(axes: Axes) -> Iterator[Text]:
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not min(limits) <= tick.get_loc() <= max(limits) or not axes.axison:
                yield from (tick.label1, tick.label2)


def assert_readable(figure: Figure) -> None:
    """No text overlaps another or the edge of the figure."""
    texts = written(figure)
    paper = figure.bbox.padded(1)  # rounding
    for text, box in texts:
        is_whole = paper.contains(*box.min) and paper.contains(*box.max)
        assert is_whole, f"{text!r} is cut off"
    for (text, box), (other, its_box) in combinations(texts, 2):
        # A pixel of each box is no ink.
        overlap = Bbox.intersection(box.padded(-0.5), its_box.padded(-0.5))
        assert overlap is None, f"{text!r} and {other!r} overlap"


def pictures_table(
    numbers: Sequence[str], count: int = 16, channels: int = 1, side: int = 8, **more: list[Any]
) -> pd.DataFrame:
    """Plain pictures, one for each number and each value of the other column."""
    ((name, values),) = more.items() or [("of", [""])]
    rows = [
        {
            numbers[0]: number,
            name: value,
            "channels": channels,
            "side": side,
            "pixels": bytes([7 * number % 256, place, 200][:channels]) * side**2,
        }
        for place, value in enumerate(values)
        for number in range(count)
    ]
    return pd.DataFrame(rows)


TABLES: dict[str, Callable[..., pd.DataFrame]] = {
    "run": run_table,
    "sweep": sweep_table,
    "dynamics": dynamics_table,
    "usage": usage_table,
    "keep_curve": keep_curve_table,
    "information": information_table,
    "estimators": estimators_table,
    "spike_and_slab": spike_and_slab_table,
    "agreement": agreement_table,
    "downstream": downstream_table,
    "representations": representations_table,
    "intervals": intervals_table,
    "rules": rules_table,
    "diagram": diagram_table,
    "pictures": pictures_table,
}


@pytest.fixture(autouse=True)
def _no_global_state() -> Iterator[None]:
    """Whatever is drawn in a test leaves matplotlib as it was."""
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
    assert Gcf.get_all_fig_managers() == []  # pyplot's figures, which live until they are closed


@pytest.fixture
def made() -> Callable[..., pd.DataFrame]:
    """A made-up table by its name; further arguments are those of its maker."""

    def make(name: str, *arguments: Any, **options: Any) -> pd.DataFrame:  # noqa: ANN401
        return TABLES[name](*arguments, **options)

    return make


@pytest.fixture
def is_readable() -> Callable[[Figure], None]:
    return assert_readable
