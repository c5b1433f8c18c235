"""Known models that are made up, with losses as those of the study net on the digits."""

from typing import Any

from polar.records.certificates import KnownModel, LossTerms

MEAN_IMAGE_NATS, EXPLAINABLE_NATS = 463.7, 130.0
#: An image of the study net has 32 x 32 pixels, over which the LV-AE's loss is averaged.
PIXELS = 1024


def model(
    weight: float,
    gain: float,
    penalty: float,
    *,
    se: float = 0.0,
    is_inside: bool = True,
    has_settled: bool = True,
    k: float = 1.0,
    collapsed_penalty: float = 0.0,
    **training: Any,  # noqa: ANN401
) -> KnownModel:
    """A model that gains so much over the mean image, with this error, at this penalty."""
    return KnownModel(
        **{"seed": 0, "steps": 2000, **training},
        weight=weight,
        is_inside=is_inside,
        has_settled=has_settled,
        terms=LossTerms(
            images=1437,
            reconstruction_nats=MEAN_IMAGE_NATS - gain,
            penalty=collapsed_penalty + penalty,
            floor_nats=MEAN_IMAGE_NATS - EXPLAINABLE_NATS,
            mean_image_nats=MEAN_IMAGE_NATS,
            collapsed_penalty=collapsed_penalty,
            nats_per_penalty=k,
            gain_variance=se * se,
            penalty_variance=0.0,
            covariance=0.0,
        ),
    )


#: The collapse at beta 22, and a model trained at 18 whose loss at 22 is 456.3 and which pays as
#: much as total collapse at 28: 7.4 nats are lost over 6 units of beta.
COLLAPSED = model(22.0, gain=0.0, penalty=0.0, is_inside=False)
FROM_18 = model(18.0, gain=7.4 * 28 / 6, penalty=7.4 / 6, se=0.7)
#: A model trained at 27 with the same line, measured without error.
FROM_27 = model(27.0, gain=7.4 * 28 / 6, penalty=7.4 / 6)
#: The collapse at lambda 0.0102, and a model trained at 1e-3 that pays as much as total collapse
#: at 0.023.
LV_COLLAPSED = model(0.0102, 0.0, 0.0, is_inside=False, k=PIXELS, collapsed_penalty=1.0)
LV_FROM_0_001 = model(
    1e-3, gain=0.023 * PIXELS * 2, penalty=2.0, se=0.5, k=PIXELS, collapsed_penalty=1.0
)
