"""The course of a run as charts: the entropy of every latent against tau, and the loss."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from polar.records.events import Evaluation
from polar.records.latents import Label
from service.api.pages.charts import PLOT, Axis

T = TypeVar("T")

TOP, BOTTOM = 10.0, 40.0
#: Points that a curve is drawn with at most; more would not be seen.
MOST_POINTS = 300


@dataclass(frozen=True)
class Curve:
    name: str
    #: The label of a latent at its last evaluation; None for other curves.
    label: Label | None
    #: For `points` of an SVG polyline; across, they go from 0 to `PLOT`.
    points: str


@dataclass(frozen=True)
class CourseChart:
    """Curves along the steps of a run."""

    title: str
    unit: str
    height: float
    top: float
    bottom: float
    ticks: Sequence[tuple[float, str]]
    heights: Sequence[tuple[float, str]]
    curves: Sequence[Curve]
    #: Height of the threshold between active and passive latents; None where there is none.
    tau: float | None = None


def entropy_chart(evaluations: Sequence[Evaluation], steps: int) -> CourseChart:
    """The judged entropy of every latent at every evaluation, in nats, and tau.

    Args:
        evaluations: At least one, by step.
        steps: The number of steps of the whole training.
    """
    seen = _thinned(evaluations)
    last = seen[-1]
    entropies = [latent.judged_entropy_nats for each in seen for latent in each.latents]
    high = max(*entropies, last.verdict.tau_nats)
    along, up = _axes(steps, min(0.0, *entropies), high, 340.0)
    curves = [
        Curve(
            f"latent {latent.latent}: {latent.label}, {latent.judged_entropy_nats:.3g} nats",
            latent.label,
            _points(
                (along.at(each.step), up.at(each.latents[place].judged_entropy_nats))
                for each in seen
            ),
        )
        for place, latent in enumerate(last.latents)
    ]
    tau = up.at(last.verdict.tau_nats)
    return _chart("Entropy of every latent", "nats", along, up, curves, 340.0, tau)


def sorted_chart(evaluations: Mapping[str, Evaluation]) -> CourseChart:
    """The entropies of each evaluation in descending order, as in the paper's plots.

    Args:
        evaluations: At least one, by the name of its curve.
    """
    entropies = {name: each.entropies_by_rank() for name, each in evaluations.items()}
    everything = [entropy for ranked in entropies.values() for entropy in ranked]
    most = max(map(len, entropies.values()))
    along = Axis(1, most, 0.0, PLOT)
    up = Axis(min(0.0, *everything), max(everything), 300.0 - BOTTOM, TOP + 6)
    curves = [
        Curve(
            name,
            None,
            _points((along.at(rank), up.at(h)) for rank, h in enumerate(ranked, start=1)),
        )
        for name, ranked in entropies.items()
    ]
    return _chart("Sorted entropies", "nats", along, up, curves, 300.0, None)


def loss_chart(losses: Sequence[tuple[int, float]], steps: int) -> CourseChart:
    """The training loss, at least one point of it, in the model's own unit."""
    seen = _thinned(losses)
    values = sorted(loss for _, loss in losses)
    # The first losses are so large that nothing else would be seen beside them.
    high = values[int(0.98 * (len(values) - 1))]
    along, up = _axes(steps, values[0], high, 200.0)
    curve = Curve("loss", None, _points((along.at(step), up.at(loss)) for step, loss in seen))
    return _chart("Training loss", "", along, up, [curve], 200.0, None)


def use_chart(percent: Mapping[str, Sequence[tuple[int, float]]]) -> CourseChart:
    """How much of the processor, and of GPUs if it had any, a run used.

    Args:
        percent: At least one point of each, a second of the run with its value, by its name.
    """
    title = "Use of processor and GPU" if len(percent) > 1 else "Use of the processor"
    last = max(points[-1][0] for points in percent.values())
    most = max(value for points in percent.values() for _, value in points)
    along, up = _axes(last, 0.0, max(100.0, most), 200.0)
    curves = [
        Curve(name, None, _points((along.at(second), up.at(value)) for second, value in points))
        for name, points in percent.items()
    ]
    return _chart(title, "%", along, up, curves, 200.0, None)


def _axes(steps: int, low: float, high: float, height: float) -> tuple[Axis, Axis]:
    along = Axis(0, max(1, steps), 0.0, PLOT)
    return along, Axis(low, high, height - BOTTOM, TOP + 6)


def _chart(
    title: str,
    unit: str,
    along: Axis,
    up: Axis,
    curves: Sequence[Curve],
    height: float,
    tau: float | None,
) -> CourseChart:
    return CourseChart(
        title=title,
        unit=unit,
        height=height,
        top=TOP,
        bottom=height - BOTTOM,
        ticks=along.ticks(),
        heights=up.ticks(most=5),
        curves=curves,
        tau=tau,
    )


def _points(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places)


def _thinned(points: Sequence[T]) -> Sequence[T]:
    """At most `MOST_POINTS` of the points, evenly, the last included."""
    stride = -(-len(points) // MOST_POINTS)
    return points[::-1][::stride][::-1]
