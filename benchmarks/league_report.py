"""Writes the report on the league."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.league_scores import (
    CRITERIA,
    OURS,
    RULES,
    STD_NOISE,
    USAGE_NOISE,
    WITHOUT_IDLE,
    Outcome,
    Part,
    agreement,
    flips,
    label_flips,
    mean_area,
)
from polar.records.latents import Label, LatentDiagnostics, Regime
from polar.records.measurement import Criterion
from polar.regime.decoding import EXPLAINS_FROM
from polar.regime.threshold import GROUP_RULES
from polar.regime.usage import USED_FROM
from polar.regime.verdict import IDLE_BELOW

#: What our rule is to reach in every family.
TARGET = 0.95
HEAD = f"""# The league: do the labels say what the decoder uses?

A latent is *used* when its usage is more than {USED_FROM:.0%} of the summed usage of its model.
Usage is the rise of the reconstruction loss when the latent is replaced by its mean, for an iVAE
by its mean given u. A rule agrees on a latent that it calls active if it is used, and on one that
it calls passive if it is not. All constants of the rules were fixed before these trainings were
made, on others. The verdict names an active latent with under {IDLE_BELOW:.1%} of the usage idle,
and is not clean then: entropies fall only after the decoder has given a latent up, so that the
labels alone lag behind while training has not settled. Intervals are of 95 %, over resampled
trainings; one from 1.000 to 1.000 says only that no training of the sample has a miss. In
brackets, the last number counts latents.

```console
$ python -m benchmarks.league --out DIR
$ python -m benchmarks.league --out DIR --report docs/league.md
```
"""

Cell = Callable[[Sequence[Outcome], str], str]


def write_report(outcomes: Sequence[Outcome], path: Path) -> None:
    """Writes Markdown on all outcomes."""
    path.write_text("\n".join(_lines(outcomes)) + "\n", "utf-8")


def _lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    judged = [training for training in outcomes if not training.verdict.explains_nothing]
    groups = _groups(judged)
    yield HEAD
    yield from _about_the_trainings(outcomes, judged)
    yield "\n## Does our rule reach the target?\n"
    yield from _about_the_target(judged)
    yield "\n## Agreement by rule\n"
    yield (
        "The rule `ours` is the fixed tau by the scaled ruler. Where `gap`, `otsu` or `mixture` "
        "sees no regime, tau stays fixed.\n"
    )
    yield from _table("rule", RULES, groups, _agreement_cell)
    yield "\n## Agreement by criterion\n"
    yield "Mixed counts as active. Latents that a criterion leaves undetermined are left out.\n"
    yield from _table("criterion", (OURS, *CRITERIA), groups, _agreement_cell)
    yield "\n## Ranking: area under the curve\n"
    yield "The mean over the trainings that use some of their latents and not all.\n"
    scores = (Criterion.ENTROPY.value, Criterion.ENTROPY_ABSOLUTE.value, *CRITERIA)
    yield from _table("score", scores, groups, _area_cell)
    yield "\n## Our rule by dataset, by verdict, and where training has settled\n"
    yield from _table("trainings", tuple(_kinds(judged)), groups, _kind_cell)
    yield "\n## Stability of the verdict\n"
    yield from _about_the_stability(judged)
    yield "\n## Stability of the labels\n"
    yield from _about_the_labels(judged)
    yield "\n## Every miss of our rule\n"
    yield from _misses(judged)


def _groups(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    families = dict.fromkeys(training.family for training in outcomes)
    by_family = {
        family: [training for training in outcomes if training.family == family]
        for family in families
    }
    return {**by_family, "all": list(outcomes)}


def _about_the_trainings(outcomes: Sequence[Outcome], judged: Sequence[Outcome]) -> Iterator[str]:
    nothing = [training.name for training in outcomes if training.verdict.explains_nothing]
    settled = sum(training.settled for training in judged)
    yield (
        f"{len(outcomes)} trainings, {len(judged)} of which explain something; {settled} of these "
        "have settled. A training that explains nothing uses no latent, so that there is nothing "
        f"to agree with: {', '.join(nothing) or 'none'}."
    )


def _about_the_target(judged: Sequence[Outcome]) -> Iterator[str]:
    for family, trainings in _groups(judged).items():
        parts = {rule: agreement(trainings, rule) for rule in RULES}
        known = {rule: part for rule, part in parts.items() if part is not None}
        if OURS not in known:
            continue
        ours = known[OURS].part
        above = [f"{rule} {part.part:.3f}" for rule, part in known.items() if part.part > ours]
        reached = "reached" if ours >= TARGET else "missed"
        named = agreement(trainings, WITHOUT_IDLE)
        settled = agreement([training for training in trainings if training.settled], OURS)
        better = f"above it: {', '.join(above)}" if above else "no rule is above it"
        yield (
            f"- {family}: {ours:.3f}, target of {TARGET:.2f} {reached}; {better}. Without latents "
            f"that the verdict names idle: {_part(named)}. Where training has settled: "
            f"{_part(settled)}."
        )


def _part(part: Part | None) -> str:
    return "-" if part is None else f"{part.part:.3f} of {part.latents} latents"


def _table(
    head: str, rows: Sequence[str], groups: dict[str, list[Outcome]], cell: Cell
) -> Iterator[str]:
    yield f"| {head} | {' | '.join(groups)} |"
    yield f"|{'---|' * (1 + len(groups))}"
    for row in rows:
        yield f"| {row} | {' | '.join(cell(trainings, row) for trainings in groups.values())} |"


def _agreement_cell(trainings: Sequence[Outcome], rule: str) -> str:
    return _in_words(agreement(trainings, rule))


def _area_cell(trainings: Sequence[Outcome], criterion: str) -> str:
    area = mean_area(trainings, criterion)
    return "" if area is None else f"{area[0]:.3f} ({area[1]})"


def _kinds(outcomes: Sequence[Outcome]) -> dict[str, Callable[[Outcome], bool]]:
    datasets = dict.fromkeys(training.dataset for training in outcomes)
    by_dataset = {name: lambda training, name=name: training.dataset == name for name in datasets}
    return {
        **by_dataset,
        **{
            f"verdict {regime.replace('_', ' ')}": partial(_has, regime)
            for regime in (Regime.CLEAN, Regime.FORMING, Regime.UNDER_REGULARISED)
        },
        "settled": lambda training: training.settled,
        "not settled": lambda training: not training.settled,
    }


def _has(regime: Regime, training: Outcome) -> bool:
    return training.verdict.regime is regime


def _kind_cell(trainings: Sequence[Outcome], kind: str) -> str:
    is_of_the_kind = _kinds(trainings).get(kind)
    if is_of_the_kind is None:
        return ""
    return _agreement_cell([training for training in trainings if is_of_the_kind(training)], OURS)


def _in_words(part: Part | None) -> str:
    if part is None:
        return ""
    return f"{part.part:.3f} ({part.low:.3f} to {part.high:.3f}; {part.latents})"


def _about_the_stability(judged: Sequence[Outcome]) -> Iterator[str]:
    yield (
        f"How often the regime changes under noise of {STD_NOISE:.0%} on every equivalent std and "
        f"{USAGE_NOISE:.0%} on every usage.\n"
    )
    yield "| family | our verdict | the paper's |"
    yield "|---|---|---|"
    rng = np.random.default_rng(0)
    changed = {training.name: flips(training, rng) for training in judged}
    for family, trainings in _groups(judged).items():
        ours, papers = np.mean([changed[training.name] for training in trainings], axis=0)
        yield f"| {family} | {ours:.2%} | {papers:.2%} |"


def _about_the_labels(judged: Sequence[Outcome]) -> Iterator[str]:
    noise = f"noise of {STD_NOISE:.0%} on every equivalent std"
    yield f"The part of the labels that {noise} changes.\n"
    yield "| rule, scaled | labels |"
    yield "|---|---|"
    for rule in (None, *GROUP_RULES):
        rng = np.random.default_rng(0)
        part = np.mean([label_flips(training, rule, rng) for training in judged])
        yield f"| {rule or OURS} | {part:.2%} |"


def _misses(judged: Sequence[Outcome]) -> Iterator[str]:
    misses = [
        (training, latent, share, _why(training, latent, share))
        for training in judged
        for latent, share, is_active, is_used in zip(
            training.latents,
            training.share.tolist(),
            training.active[OURS] > 0,
            training.used,
            strict=True,
        )
        if is_active != is_used
    ]
    for why, count in Counter(why for *_, why in misses).most_common():
        yield f"- {count}: {why}"
    yield "\n| training | latent | label | entropy, nats | std / tau | share of usage | why |"
    yield "|---|---|---|---|---|---|---|"
    for training, latent, share, why in misses:
        yield (
            f"| {training.name} | {latent.latent} | {latent.label} "
            f"| {latent.judged_entropy_nats:.2f} "
            f"| {latent.equivalent_std / training.tau_std:.2f} | {share:.2%} | {why} |"
        )


def _why(training: Outcome, latent: LatentDiagnostics, share: float) -> str:
    state = "training has settled" if training.settled else "training has not settled"
    explained, by_prior = training.verdict.explained, training.verdict.explained_by_prior
    if explained is not None and by_prior is not None and explained - by_prior < EXPLAINS_FROM:
        return f"the model explains no more than its prior alone, which knows u; {state}"
    if latent.label is Label.PASSIVE:
        return f"the decoder uses a latent that is narrower than tau; {state}"
    if share < IDLE_BELOW:
        return f"idle: the decoder has given the latent up; {state}"
    return f"little used: more than idle, at most {USED_FROM:.0%}; {state}"
