"""Certificates: whether what training reached is the optimum, as far as other models show.

The loss that training minimises is A + w k B (`polar.records.certificates`). A trained model stays
a solution at every weight, where it pays its own line in w, so that the least of all lines bounds
the optimum from above. A training whose line lies above another at its own weight has missed the
optimum there. A model of any seed, learning rate and number of steps may show this, because the
optimum does not depend on how a solution was found; total collapse is one of them. Certificates
only refute: a training that no model beats may still not be the optimum.

All losses are those of training images, because they are what training minimises, and are compared
relative to that of the mean image, so that models measured on different numbers of images compare.

One model is better than another where the difference exceeds two standard errors, and a hundredth
of what there is to explain. Models are measured on the same images, and most errors are shared and
cancel in the difference; they count as independent all the same. On the digits the error of the
difference between two models that explain something was 0.3 to 1.0 times what this makes of it
(docs/log.md), which leaves room for the choice of the best among many models, which is partly the
luckiest. A model never beats itself, nor one with equal losses.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from polar.records.certificates import (
    Certificates,
    EdgeCertificate,
    KnownModel,
    LossTerms,
    NotOptimal,
    Standing,
)
from polar.records.ranges import Edge, Interval

#: A difference must exceed so many standard errors.
ERRORS = 2.0
#: It must also exceed this part of the explainable loss. Chosen by us, because a training counts
#: as settled while R still rises by less, so that trainings with the same solution differ by as
#: much. Collapsed trainings on the digits lose 0.002 to 0.004 of it to total collapse, which is
#: ten standard errors.
LEAST_PART = 0.01
#: A model inside the band shows what is possible there at weights up to this factor away. Chosen
#: by us, because in the linear beta-VAE the optimum of another weight, x times as large, loses at
#: most x - 1 - ln x of the explainable loss, which for this factor is less than `LEAST_PART`: a
#: model outside that is better by more is better than all models inside.
NEAR = 1.14
#: The largest weight that a spec may have.
MOST_WEIGHT = 1e6
#: Steps of the bisection for the end of a stretch of weights. Chosen by us, because they find an
#: end between 0 and the largest weight to 1e-12.
BISECTIONS = 60

#: The line of total collapse, which is 0, because all lines are relative to it.
_TOTAL_COLLAPSE = LossTerms(
    images=2,
    reconstruction_nats=0.0,
    penalty=0.0,
    floor_nats=0.0,
    mean_image_nats=0.0,
    collapsed_penalty=0.0,
    nats_per_penalty=1.0,
    gain_variance=0.0,
    penalty_variance=0.0,
    covariance=0.0,
)


def not_optimal(model: KnownModel, models: Iterable[KnownModel]) -> NotOptimal | None:
    """What shows that a model is not the optimum at its own weight; None if nothing does.

    Args:
        model: The model to judge.
        models: All models of the same problem; the judged model may be among them. Among equally
            good models, the first is named.
    """
    weight = model.weight
    rivals = [(None, _TOTAL_COLLAPSE), *((rival, rival.terms) for rival in models)]
    better = [(rival, terms) for rival, terms in rivals if _beats(terms, model.terms, weight)]
    if not better:
        return None
    best, terms = min(better, key=lambda rival: rival[1].above_collapse_nats(weight))
    return NotOptimal(
        model=model.training(),
        better=None if best is None else best.training(),
        by_nats=_difference(terms, model.terms, weight),
        se_nats=_se(terms, model.terms, weight),
    )


def refutes_collapse(weight: float, models: Iterable[KnownModel]) -> bool:
    """Whether a model is better than total collapse at a weight, by more than counts."""
    return any(_beats(model.terms, _TOTAL_COLLAPSE, weight) for model in models)


def better_than_collapse_to(models: Iterable[KnownModel]) -> float | None:
    """The largest weight at which a model is better than total collapse, by more than counts.

    It is at most the largest weight that a spec may have, and None if no model is better anywhere.
    """
    # Errors may hide a lead at 0, where few trainings are.
    begins = ((model, weight) for model in models for weight in (0.0, model.weight))
    farthest = _farthest(begins, [_TOTAL_COLLAPSE], MOST_WEIGHT)
    return None if farthest is None else farthest[0]


def certify_edge(
    side: Literal["left", "right"],
    *,
    reached: float | None,
    beyond: float,
    models: Sequence[KnownModel],
    is_moving: bool = False,
) -> EdgeCertificate:
    """What the known models say about an edge.

    A model keeps its lead over all others on a single stretch of weights: losses are linear in the
    weight and standard errors convex, so that the lead is concave. A stretch that begins farther
    beyond the edge is looked for at the weight that the model was trained at.

    An edge must not count as certified only because nobody has trained well enough there. So the
    model outside that leads beyond the edge must have settled, and so must a model inside that was
    trained close by (`NEAR`) and is the best known at its own weight.

    Args:
        side: On which side of the band the edge lies.
        reached: The last weight on the band's side of the edge, if there is one.
        beyond: The first weight beyond the edge.
        models: All models of the study's problem.
        is_moving: Whether the edge is known to move as trainings become longer; it is then not
            certified.
    """
    inside = [model for model in models if model.is_inside]
    others = [model for model in models if not model.is_inside]
    out, end = (1, MOST_WEIGHT) if side == "right" else (-1, 0.0)
    begins = (
        (model, begin)
        for model in inside
        for begin in dict.fromkeys((beyond, model.weight))
        if out * begin >= out * beyond
    )
    farthest = _farthest(begins, [_TOTAL_COLLAPSE, *(model.terms for model in others)], end)
    settled = [_TOTAL_COLLAPSE, *(model.terms for model in others if model.has_settled)]
    inner = [model.terms for model in inside]
    if farthest is not None:
        standing = Standing.NOT_OPTIMAL
    elif (
        not is_moving
        and any(_leads(terms, inner, beyond) for terms in settled)
        and any(_is_witness(model, beyond, models) for model in inside)
    ):
        standing = Standing.CERTIFIED
    else:
        standing = Standing.UNDECIDED
    return EdgeCertificate(
        side=side,
        standing=standing,
        reached=reached,
        beyond=beyond,
        exists_to=farthest and farthest[0],
        by=farthest and farthest[1].training(),
    )


def _is_witness(model: KnownModel, beyond: float, models: Sequence[KnownModel]) -> bool:
    """Whether a model inside the band shows what is possible inside at a weight beyond it."""
    is_near = beyond / NEAR <= model.weight <= beyond * NEAR
    return is_near and model.has_settled and not_optimal(model, models) is None


def certificates_of(
    band: Interval | None, trials: Sequence[KnownModel], models: Sequence[KnownModel]
) -> Certificates:
    """The certificates of a study.

    Args:
        band: The outermost edges that the study has found; None without a band.
        trials: The trained models of the study itself.
        models: All models of the study's problem, whichever study or experiment trained them;
            those of the study may be among them.
    """
    known = sorted({*trials, *models}, key=_order)
    judged = (not_optimal(trial, known) for trial in trials)
    return Certificates(
        not_optimal=tuple(found for found in judged if found is not None),
        left=band and _certificate("left", band.left, known),
        right=band and _certificate("right", band.right, known),
        models=len(known),
    )


def _certificate(
    side: Literal["left", "right"], edge: Edge, models: Sequence[KnownModel]
) -> EdgeCertificate | None:
    """The certificate of an edge of a band; None where the band is open."""
    reached, beyond = (edge.high, edge.low) if side == "left" else (edge.low, edge.high)
    if beyond is None:
        return None
    is_moving = edge.movement is not None and edge.movement.is_settled is False
    return certify_edge(side, reached=reached, beyond=beyond, models=models, is_moving=is_moving)


def _order(model: KnownModel) -> tuple[float, int, int, float, str]:
    """What models are sorted by, so that their order does not depend on when they came."""
    terms = model.terms
    return model.weight, model.seed, model.steps, terms.reconstruction_nats, f"{model.run_id}"


def _difference(better: LossTerms, other: LossTerms, weight: float) -> float:
    """By how much the loss of the first is smaller, in nats per image."""
    return other.above_collapse_nats(weight) - better.above_collapse_nats(weight)


def _se(one: LossTerms, other: LossTerms, weight: float) -> float:
    """Standard error of the difference of both losses, as if they were independent."""
    return math.hypot(one.se_nats(weight), other.se_nats(weight))


def _beats(better: LossTerms, other: LossTerms, weight: float) -> bool:
    """Whether the loss of the first is smaller by more than counts."""
    difference = _difference(better, other, weight)
    explainable = max(better.explainable_nats, other.explainable_nats)
    if difference <= LEAST_PART * explainable:
        return False
    return difference > ERRORS * _se(better, other, weight)


def _leads(better: LossTerms, others: Iterable[LossTerms], weight: float) -> bool:
    return all(_beats(better, other, weight) for other in others)


def _farthest(
    begins: Iterable[tuple[KnownModel, float]], others: Sequence[LossTerms], end: float
) -> tuple[float, KnownModel] | None:
    """How far towards `end` a model leads, and which, the first of several; None if none does.

    Args:
        begins: Models, each with a weight at which its lead may begin.
        others: The losses over which it has to lead.
        end: The weight up or down to which leads are followed.
    """
    farthest = None
    for model, begin in begins:
        start = begin
        if farthest is not None:  # a lead that ends earlier is of no account
            start = min(begin, farthest[0], key=lambda at: abs(end - at))
        if _leads(model.terms, others, begin) and _leads(model.terms, others, start):
            reached = _end_of_lead(model.terms, others, start, end)
            if farthest is None or not math.isclose(reached, farthest[0]):
                farthest = reached, model
    return farthest


def _end_of_lead(
    better: LossTerms, others: Sequence[LossTerms], begin: float, end: float
) -> float:
    """The weight between `begin`, where a model leads, and `end` at which its lead ends."""
    if _leads(better, others, end):
        return end
    leading, behind = begin, end
    for _ in range(BISECTIONS):
        middle = (leading + behind) / 2
        if _leads(better, others, middle):
            leading = middle
        else:
            behind = middle
    return leading
