"""What all models have in common."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from polar.models import Autoencoder, build
from polar.spec import GaussianSpec, ImageShape, ModelSpec

SPECS: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
SMALL = {"latent_dim": 3, "widths": [4, 4, 4, 4, 4]}
IVAE = {"name": "ivae", "u": ["digit"]}
KINDS: list[dict[str, Any]] = [
    {"name": "beta_vae"},
    IVAE,
    {**IVAE, "prior_mean": "fixed"},
    {**IVAE, "u": ["digit", "colour"]},
    {"name": "fixed_variance_vae"},
    {"name": "lv_ae"},
    {"name": "l2_ae"},
    {"name": "ae"},
]
each_kind = pytest.mark.parametrize(
    "kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values()))
)
each_shape = pytest.mark.parametrize(("channels", "side"), [(1, 32), (1, 64), (3, 64), (1, 96)])


def spec_of(kind: dict[str, Any], **fields: object) -> ModelSpec:
    return SPECS.validate_python({**SMALL, **kind, **fields})


def sizes_of(kind: dict[str, Any]) -> tuple[int, ...]:
    return (4, 3)[: len(kind.get("u", ()))]


def new_model(
    kind: dict[str, Any], side: int = 32, seed: int = 0, channels: int = 1, **fields: object
) -> Any:  # noqa: ANN401
    generator = torch.Generator().manual_seed(seed)
    return build(spec_of(kind, **fields), ImageShape(channels, side), sizes_of(kind), generator)


def batch(
    kind: dict[str, Any], n: int = 5, side: int = 32, channels: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images, and the one-hot vectors of u."""
    generator = torch.Generator().manual_seed(1)
    vectors = [
        torch.eye(size)[torch.randint(size, (n,), generator=generator)] for size in sizes_of(kind)
    ]
    images = torch.rand(n, channels, side, side, generator=generator)
    return images, torch.cat([torch.empty(n, 0), *vectors], dim=1)


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(2)


@each_kind
@each_shape
def test_images_are_encoded_and_decoded(kind: dict[str, Any], channels: int, side: int) -> None:
    model = new_model(kind, side, channels=channels)
    images, u = batch(kind, side=side, channels=channels)

    encoding = model.encode(images, u)
    outputs = model.decode(encoding.mean)
    losses = model.losses(images, u, noise())

    assert isinstance(model, Autoencoder)
    assert encoding.mean.shape == (5, 3)
    assert outputs.shape == images.shape
    for loss in (losses.reconstruction, losses.penalty):
        assert loss.shape == ()
        assert loss.isfinite()


@each_kind
def test_what_an_encoding_has_depends_on_the_kind(kind: dict[str, Any]) -> None:
    encoding = new_model(kind).encode(*batch(kind))

    variational, conditional = kind["name"].endswith("vae"), kind["name"] == "ivae"
    assert (encoding.log_var is not None) == variational
    assert (encoding.prior_mean is not None) == conditional
    assert (encoding.prior_log_var is not None) == conditional


@each_kind
@each_shape
def test_every_parameter_gets_a_gradient(kind: dict[str, Any], channels: int, side: int) -> None:
    model = new_model(kind, side, channels=channels)

    losses = model.losses(*batch(kind, side=side, channels=channels), noise())
    torch.autograd.backward(losses.reconstruction + losses.penalty)

    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@each_kind
def test_a_fresh_decoder_draws_grey(kind: dict[str, Any]) -> None:
    outputs = new_model(kind).decode(torch.zeros(2, 3))

    # All biases are zero, so nothing comes out of nothing.
    assert (outputs == 0).all()


@each_kind
def test_encoding_and_decoding_change_nothing(kind: dict[str, Any]) -> None:
    model = new_model(kind)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    for mode in (True, False):
        model.train(mode)
        model.decode(model.encode(*batch(kind)).mean)

    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@each_kind
def test_weights_and_losses_depend_on_the_generators_alone(kind: dict[str, Any]) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()

    one, again, other = new_model(kind), new_model(kind), new_model(kind, seed=1)
    losses = [model.losses(*batch(kind), noise()) for model in (one, again, other)]

    assert torch.equal(torch.get_rng_state(), before)
    assert losses[0] == losses[1]
    assert losses[0].reconstruction != losses[2].reconstruction
    for p, q in zip(one.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)


@each_kind
def test_a_model_is_laid_out_for_fast_convolutions(kind: dict[str, Any]) -> None:
    kernels = [p for p in new_model(kind).parameters() if p.dim() == 4]

    assert len(kernels) == 10
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


@each_kind
def test_a_gaussian_likelihood_is_that_of_the_outputs(kind: dict[str, Any]) -> None:
    model = new_model(kind, likelihood=GaussianSpec(std=0.3))
    images, u = batch(kind)
    if kind["name"].endswith("vae"):
        # The least variance, so that what is decoded is known.
        head = getattr(model, "log_var_head", None)
        if head is not None:
            torch.nn.init.zeros_(head.weight)
            torch.nn.init.constant_(head.bias, -20.0)
    outputs = model.decode(model.encode(images, u).mean)
    densities = torch.exp(-((images - outputs) ** 2) / 0.18) / (0.3 * math.sqrt(2 * math.pi))
    expected = -densities.log().sum((1, 2, 3)).mean()

    losses = model.losses(images, u, noise())

    # Deviations are e^-10; that of the model with a fixed variance is 0.3, which moves the codes.
    tolerance = 0.2 if kind["name"] == "fixed_variance_vae" else 1e-4
    assert losses.reconstruction.item() == pytest.approx(expected.item(), rel=tolerance)


@each_kind
def test_training_minimises_the_weighted_sum_of_both_losses(kind: dict[str, Any]) -> None:
    model = new_model(kind)

    losses = model.losses(*batch(kind), noise())
    total = spec_of(kind).total(losses.reconstruction, losses.penalty, 3.0, pixels=1024)

    deterministic = kind["name"].endswith("_ae") or kind["name"] == "ae"
    reconstruction = losses.reconstruction / (1024 if deterministic else 1)
    # In float32.
    assert total.item() == pytest.approx((reconstruction + 3 * losses.penalty).item(), rel=1e-6)
    assert total.requires_grad


def test_the_default_model_has_the_number_of_parameters_of_its_layers() -> None:
    model = new_model({"name": "beta_vae", "latent_dim": 16, "widths": [32, 32, 64, 64, 128]})

    channels = [1, 32, 32, 64, 64, 128]
    pairs = list(pairwise(channels))
    encoder = sum(16 * a * b + b for a, b in pairs)
    decoder = sum(16 * a * b + a for a, b in pairs) + (16 * 128 + 128)
    heads = 2 * (128 * 16 + 16)
    assert sum(p.numel() for p in model.parameters()) == encoder + decoder + heads == 499_361
