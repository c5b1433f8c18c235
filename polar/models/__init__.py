"""The models: each has an encoder, a decoder and a loss."""

from collections.abc import Sequence
from typing import Any, assert_never

import torch

from polar.models.ae import AE
from polar.models.autoencoder import Autoencoder as Autoencoder
from polar.models.autoencoder import Encoding as Encoding
from polar.models.autoencoder import Losses as Losses
from polar.models.beta_vae import BetaVAE
from polar.models.fixed_variance_vae import FixedVarianceVAE
from polar.models.ivae import IVAE
from polar.models.l2_ae import L2AE
from polar.models.lv_ae import LVAE
from polar.models.own import Sizes as Sizes
from polar.models.own import own_model
from polar.spec import (
    AESpec,
    BetaVAESpec,
    FixedVarianceVAESpec,
    ImageShape,
    IVAESpec,
    L2AESpec,
    LVAESpec,
    ModelSpec,
    OwnModelSpec,
)


def build(
    spec: ModelSpec,
    shape: ImageShape,
    u_sizes: Sequence[int],
    generator: torch.Generator,
    device: torch.device | None = None,
) -> Autoencoder:
    """A new model, with the same first weights on every device.

    Args:
        spec: Which model, and its sizes.
        shape: Channels and side of the images.
        u_sizes: How many values each factor of u has; empty for a model without u.
        generator: Source of the weights, on the CPU.
        device: Device of the model; the CPU by default.
    """
    model = _on_cpu(spec, shape, u_sizes, generator)
    return model.to(memory_format=torch.channels_last).to(device)


def _on_cpu(
    spec: ModelSpec, shape: ImageShape, u_sizes: Sequence[int], generator: torch.Generator
) -> BetaVAE | IVAE | FixedVarianceVAE | LVAE | L2AE | AE | Any:  # noqa: ANN401
    match spec:
        case BetaVAESpec():
            return BetaVAE(spec, shape, generator)
        case IVAESpec():
            return IVAE(spec, shape, u_sizes, generator)
        case FixedVarianceVAESpec():
            return FixedVarianceVAE(spec, shape, generator)
        case LVAESpec():
            return LVAE(spec, shape, generator)
        case L2AESpec():
            return L2AE(spec, shape, generator)
        case AESpec():
            return AE(spec, shape, generator)
        case OwnModelSpec():
            return own_model(spec, shape, u_sizes, generator)
        case _:
            assert_never(spec)
