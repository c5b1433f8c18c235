"""Repeats what an audit of earlier versions saw, and says what this version answers.

    python -m benchmarks.audit --out DIR [--only beta22 ...]

Every row is a question on trainings of a small network on the digits, with the answer that it
must have. Finished trainings are kept in DIR and not repeated; all take about 15 minutes on one
core. The exit code is 1 if an answer is wrong.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.timing import print_table
from benchmarks.trainings import kept, known_model, spec_of
from polar.certificate import not_optimal
from polar.experiment.run import run
from polar.ranges import Search, find_range
from polar.records.certificates import KnownModel
from polar.records.events import Evaluation, Result
from polar.records.latents import Regime
from polar.records.ranges import Observation, Outcome, RangeReport, Snapshot
from polar.spec import ExperimentSpec

Model: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Trained:
    """A finished training with all its evaluations."""

    spec: ExperimentSpec
    evaluations: Sequence[Evaluation]
    result: Result


@dataclass(frozen=True)
class Answer:
    """What this version says, and whether that is right."""

    says: str
    is_right: bool


class Trainer:
    """Trains on demand, and keeps what trainings report."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def __call__(self, model: Model, steps: int = 2000, seed: int = 0) -> Trained:
        spec = spec_of(model, seed=seed, steps=steps)
        events = kept(
            self._out / f"{spec.content_hash()}.jsonl",
            lambda: (event for event in run(spec) if event.event in ("evaluation", "result")),
        )
        results = [event for event in events if isinstance(event, Result)]
        return Trained(spec, [e for e in events if isinstance(e, Evaluation)], results[0])


def beta(weight: float) -> Model:
    return {"name": "beta_vae", "beta": weight}


def lv(weight: float) -> Model:
    return {"name": "lv_ae", "lambda": weight}


def short_study(train: Trainer) -> Answer:
    weights = (0.1, 0.3, 1.0, 3.6, 4.8, 7.7, 15.0, 30.0)
    report = range_of([train(beta(weight), steps=300) for weight in weights], steps=300)
    return Answer(report.headline, report.outcome is Outcome.NO_BAND)


def moving_left_edge(train: Trainer) -> Answer:
    weights = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0)
    report = range_of([train(beta(weight), steps=4000) for weight in weights], steps=4000)
    movement = report.envelope and report.envelope.left.movement
    return Answer(report.headline, bool(movement) and movement.is_settled is False)  # type: ignore[union-attr]


def collapse_at_22(train: Trainer) -> Answer:
    return refuted(train(beta(22.0)), [train(beta(weight)) for weight in (12.0, 18.0)])


def collapse_of_lv(train: Trainer) -> Answer:
    return refuted(train(lv(0.0102)), [train(lv(1e-3))])


def refuted(training: Trained, others: Sequence[Trained]) -> Answer:
    found = not_optimal(known(training), [known(other) for other in others])
    regime = training.result.final.verdict.regime
    if found is None:
        return Answer(f"{regime}, and no model is better", is_right=False)
    by = "total collapse" if found.better is None else found.better.words()
    words = f"{regime}, not optimal: {by} is better by {found.by_nats:.1f} +- {found.se_nats:.1f}"
    return Answer(f"{words} nats", found.better is not None)


def ivae_with_fixed_prior(train: Trainer) -> Answer:
    model = {"name": "ivae", "alpha": 15.0, "u": ["digit"], "prior_mean": "fixed"}
    verdict = train(model).result.final.verdict
    part = verdict.explained or 0.0
    return Answer(f"R = {part:.2f} by samples", part > 0.4)


def ivae_with_learned_prior(train: Trainer) -> Answer:
    verdict = train({"name": "ivae", "alpha": 62.0, "u": ["digit"]}).result.final.verdict
    words = f"{verdict.regime}, R = {verdict.explained:.2f} beyond u"
    return Answer(words, bool(verdict.explains_nothing))


def l2_ae(train: Trainer) -> Answer:
    regime = train({"name": "l2_ae", "gamma": 0.01}).result.final.verdict.regime
    return Answer(regime, regime not in (Regime.COLLAPSED, Regime.UNTRAINED))


def beta_18_at_500(train: Trainer) -> Answer:
    verdicts = [e.verdict for e in train(beta(18.0)).evaluations if 362 <= e.step <= 512]
    words = "; ".join(f"{verdict.regime}, settled: {verdict.settled}" for verdict in verdicts)
    return Answer(words, not any(verdict.settled for verdict in verdicts))


def l2_ae_that_learns_late(train: Trainer) -> Answer:
    evaluations = train({"name": "l2_ae", "gamma": 1.0}, steps=1500).evaluations
    early = [e for e in evaluations if 181 <= e.step <= 362]
    final = evaluations[-1].verdict
    words = f"{', '.join(e.verdict.regime for e in early)}; at the end R = {final.explained:.2f}"
    is_early = {e.verdict.regime for e in early} == {Regime.UNTRAINED}
    return Answer(words, is_early and not final.explains_nothing)


@dataclass(frozen=True)
class Row:
    seen: str
    answer: Callable[[Trainer], Answer]


ROWS: Mapping[str, Row] = {
    "300steps": Row("a band at 300 steps, in which the decoder draws the mean image", short_study),
    "beta22": Row("the collapse at beta 22 taken for the edge", collapse_at_22),
    "lv": Row("the collapse of an LV-AE at 0.0102 taken for the edge", collapse_of_lv),
    "left": Row("a left edge published as if it stood still", moving_left_edge),
    "ivae_fixed": Row(
        "R = 0.00 of an iVAE with a fixed prior mean, alpha 15", ivae_with_fixed_prior
    ),
    "ivae_learned": Row(
        "R = 0.41 of an iVAE with learned priors, alpha 62", ivae_with_learned_prior
    ),
    "l2": Row("an L2-AE at gamma 0.01 called collapsed", l2_ae),
    "plateau": Row("beta 18 at step 500 called converged", beta_18_at_500),
    "late": Row("an L2-AE at gamma 1 called collapsed before it learns", l2_ae_that_learns_late),
}


def range_of(trainings: Sequence[Trained], steps: int) -> RangeReport:
    weights = [known(training).weight for training in trainings]
    search = Search(low=min(weights), high=max(weights), steps=steps, factor=1.3)
    return find_range([observed(training) for training in trainings], search)


def observed(training: Trained) -> Observation:
    *earlier, final = [snapshot(evaluation) for evaluation in training.evaluations]
    return Observation(
        **final.model_dump(),
        weight=known(training).weight,
        seed=training.result.seed,
        settled=training.result.settled,
        trajectory=tuple(earlier),
    )


def snapshot(evaluation: Evaluation) -> Snapshot:
    verdict = evaluation.verdict
    return Snapshot(
        steps=evaluation.step,
        regime=verdict.regime,
        flaws=verdict.flaws,
        paper_regime=verdict.paper_regime,
        n_active=verdict.n_active,
        n_passive=verdict.n_passive,
    )


def known(training: Trained) -> KnownModel:
    return known_model(training.spec, training.result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    arguments = parser.parse_args()
    train = Trainer(arguments.out)
    answers = {name: ROWS[name].answer(train) for name in arguments.only}
    print_table(
        ["an earlier version", "this version", "right"],
        [
            [ROWS[name].seen, answer.says, "yes" if answer.is_right else "no"]
            for name, answer in answers.items()
        ],
    )
    sys.exit(not all(answer.is_right for answer in answers.values()))


if __name__ == "__main__":
    main()
