"""Certificates: whether what training reached is the optimum, as far as other models show.

The loss that training minimises is A + w k B (`polar.records.certificates`). A trained model stays
a solution at every weight, where it pays its own line in w, so that the least of all lines bounds
the optimum from above. A training whose line lies above another at its own weight has missed the
optimum there (`polar.loss_lines`). A model of any seed, learning rate and number of steps may show
this, because the optimum does not depend on how a solution was found; total collapse is one of
them. Certificates only refute: a training that no model beats may still not be the optimum.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from polar.loss_lines import (
    MOST_WEIGHT,
    TOTAL_COLLAPSE,
    Lead,
    beats,
    corners,
    difference_nats,
    end_of_lead,
    farthest_lead,
    leads,
    se_nats,
)
from polar.records.certificates import (
    Certificates,
    EdgeCertificate,
    KnownModel,
    NotOptimal,
    Standing,
)
from polar.records.ranges import Edge, Interval

#: A model inside the band shows what is possible there at weights up to this factor away. Chosen
#: by us, because in the linear beta-VAE the optimum of another weight, x times as large, loses at
#: most x - 1 - ln x of the explainable loss, which for this factor is less than a hundredth: a
#: model outside that is better by more is better than all models inside.
NEAR_FACTOR = 1.14


def not_optimal(model: KnownModel, models: Iterable[KnownModel]) -> NotOptimal | None:
    """What shows that a model is not the optimum at its own weight; None if nothing does.

    Args:
        model: The model to judge.
        models: All models of the same problem; the judged model may be among them. Among equally
            good models, the first is named.
    """
    weight = model.weight
    rivals = [(None, TOTAL_COLLAPSE), *((rival, rival.terms) for rival in models)]
    better = [(rival, terms) for rival, terms in rivals if beats(terms, model.terms, weight)]
    if not better:
        return None
    best, terms = min(better, key=lambda rival: rival[1].above_collapse_nats(weight))
    return NotOptimal(
        model=model.training(),
        better=None if best is None else best.training(),
        by_nats=difference_nats(terms, model.terms, weight),
        se_nats=se_nats(terms, model.terms, weight),
    )


def refutes_collapse(weight: float, models: Iterable[KnownModel]) -> bool:
    """Whether a model is better than total collapse at a weight, by more than counts."""
    return any(beats(model.terms, TOTAL_COLLAPSE, weight) for model in models)


def better_than_collapse_to(models: Iterable[KnownModel]) -> float | None:
    """The largest weight at which a model is better than total collapse, by more than counts.

    It is at most the largest weight that a spec may have, and None if no model is better anywhere.
    """
    # Errors may hide a lead at 0, where few trainings are.
    candidates = ((model, model.terms, (0.0, model.weight)) for model in models)
    lead = farthest_lead(candidates, [TOTAL_COLLAPSE], MOST_WEIGHT)
    return None if lead is None else lead.end


def certify_edge(
    side: Literal["left", "right"],
    *,
    reached: float | None,
    beyond: float,
    models: Sequence[KnownModel],
    at: float | None = None,
    steps: int = 0,
    is_moving: bool = False,
) -> EdgeCertificate:
    """What the known models say about an edge.

    A model leads at a weight where it beats all models of the other side of the edge. Total
    collapse is one of the models outside. An edge is refuted where the wrong side leads:

    - a model inside leads at `beyond` or farther out, or, from `at` on, at the weight of a
      training that has ended outside;
    - a model outside leads where training reaches the band: at the weights of trainings that have
      ended inside, from `reached` to `at`, or at the nearest on the band's side if there are none.

    A lead is followed as far as models of the other side were trained, because there may be better
    ones where nobody has trained. To the right total collapse is a rival at every weight, and
    leads of models inside are followed up to the largest.

    An edge must not count as certified only because training was bad there. So the model outside
    that leads at `beyond` must have settled; a settled model inside, which was trained close by
    (`NEAR_FACTOR`) on the band's side of `beyond`, must be the best known at its own weight; and
    no training from `reached` to `beyond` may be beaten by a model of the other side.

    Args:
        side: On which side of the band the edge lies.
        reached: The last weight on the band's side of the edge, if there is one.
        beyond: The first weight beyond the edge.
        models: All models of the study's problem.
        at: The weight that half of the seeds have passed. None for a single seed, which is inside
            the band up to `reached`, and outside from `beyond` on.
        steps: The budget at which the edge lies there. Shorter trainings that have not settled
            may be beaten.
        is_moving: Whether the edge is known to move as trainings become longer; it is then not
            certified.
    """
    inside = [model for model in models if model.is_inside]
    outside = [model for model in models if not model.is_inside]
    out = 1 if side == "right" else -1
    standing = Standing.UNDECIDED
    lead = _lead_of_inside(out, beyond if at is None else at, beyond, inside, outside)
    if lead is not None:
        standing = Standing.NOT_OPTIMAL
    elif reached is not None and inside:
        lead = _lead_of_outside(out, reached, reached if at is None else at, inside, outside)
        if lead is not None:
            standing = Standing.NOT_OPTIMAL_INSIDE
        elif not is_moving and _is_confirmed(out, reached, beyond, inside, outside, steps):
            standing = Standing.CERTIFIED
    return EdgeCertificate(
        side=side,
        standing=standing,
        reached=reached,
        beyond=beyond,
        exists_from=lead and lead.begin,
        exists_to=lead and lead.end,
        by=lead and lead.by and lead.by.training(),
    )


def _lead_of_inside(
    out: int,
    at: float,
    beyond: float,
    inside: Sequence[KnownModel],
    outside: Sequence[KnownModel],
) -> Lead | None:
    """The lead of a model inside that ends farthest out, if there is one; it begins after `at`."""
    others = [TOTAL_COLLAPSE, *(model.terms for model in outside)]
    end = MOST_WEIGHT if out == 1 else min((beyond, *(model.weight for model in outside)))
    begins = [*corners(others, beyond, end), *_weights(outside, at, beyond)]
    # Models that were trained farther out mostly lead farther, so others are soon passed over.
    candidates = (
        (model, model.terms, [*begins, *_weights([model], beyond, end)])
        for model in sorted(inside, key=lambda model: -out * model.weight)
    )
    lead = farthest_lead(candidates, others, end)
    if lead is None or lead.by is None:
        return None
    return lead._replace(begin=end_of_lead(lead.by.terms, others, lead.begin, at))


def _lead_of_outside(
    out: int,
    reached: float,
    at: float,
    inside: Sequence[KnownModel],
    outside: Sequence[KnownModel],
) -> Lead | None:
    """The lead of a model outside that begins farthest inside the band, if there is one.

    It is looked for where training reaches the band, and ends at the outermost of those weights at
    which the model leads.
    """
    innermost = min(
        (reached, *(model.weight for model in inside)), key=lambda weight: out * weight
    )
    ends = _weights(inside, at, reached) or _weights(inside, at, innermost)[:1]
    rivals = ((None, TOTAL_COLLAPSE), *((model, model.terms) for model in outside))
    candidates = ((rival, terms, ends) for rival, terms in rivals)
    lead = farthest_lead(candidates, [model.terms for model in inside], innermost)
    return lead and lead._replace(begin=lead.end, end=lead.begin)


def _is_confirmed(
    out: int,
    reached: float,
    beyond: float,
    inside: Sequence[KnownModel],
    outside: Sequence[KnownModel],
    steps: int,
) -> bool:
    """Whether good training has found the best known solution on both sides of an edge."""
    within = [model.terms for model in inside]
    without = [TOTAL_COLLAPSE, *(model.terms for model in outside)]
    settled = [TOTAL_COLLAPSE, *(model.terms for model in outside if model.has_settled)]
    near = _between(inside, beyond / NEAR_FACTOR**out, beyond)
    drew_it = [
        (model, others)
        for models, others in ((inside, without), (outside, within))
        for model in _between(models, reached, beyond)
        if model.has_settled or model.steps >= steps
    ]
    return (
        any(leads(terms, within, beyond) for terms in settled)
        and any(
            model.has_settled and not_optimal(model, [*inside, *outside]) is None for model in near
        )
        and not any(
            beats(better, model.terms, model.weight)
            for model, others in drew_it
            for better in others
        )
    )


def _between(models: Iterable[KnownModel], one: float, other: float) -> list[KnownModel]:
    """The models that were trained at these weights or between them."""
    low, high = min(one, other), max(one, other)
    return [model for model in models if low <= model.weight <= high]


def _weights(models: Iterable[KnownModel], begin: float, end: float) -> list[float]:
    """The weights from `begin` to `end`, in this order, at which these models were trained."""
    weights = {model.weight for model in _between(models, begin, end)}
    return sorted(weights, key=lambda weight: abs(weight - begin))


def certificates_of(
    band: Interval | None,
    trials: Sequence[KnownModel],
    models: Sequence[KnownModel],
    steps: int = 0,
) -> Certificates:
    """The certificates of a study.

    Args:
        band: The outermost edges that the study has found; None without a band.
        trials: The trained models of the study itself.
        models: All models of the study's problem, whichever study or experiment trained them;
            those of the study may be among them.
        steps: The budget at which the band has these edges.
    """
    known = sorted({*trials, *models}, key=_order)
    judged = (not_optimal(trial, known) for trial in trials)
    return Certificates(
        not_optimal=tuple(found for found in judged if found is not None),
        left=band and _certificate("left", band.left, known, steps),
        right=band and _certificate("right", band.right, known, steps),
        models=len(known),
    )


def _certificate(
    side: Literal["left", "right"], edge: Edge, models: Sequence[KnownModel], steps: int
) -> EdgeCertificate | None:
    """The certificate of an edge of a band; None where the band is open."""
    reached, beyond = (edge.high, edge.low) if side == "left" else (edge.low, edge.high)
    if beyond is None:
        return None
    is_moving = edge.movement is not None and edge.movement.is_settled is False
    return certify_edge(
        side,
        reached=reached,
        beyond=beyond,
        models=models,
        at=edge.at,
        steps=steps,
        is_moving=is_moving,
    )


def _order(model: KnownModel) -> tuple[float, int, int, float, str]:
    """What models are sorted by, so that their order does not depend on when they came."""
    terms = model.terms
    return model.weight, model.seed, model.steps, terms.reconstruction_nats, f"{model.run_id}"
