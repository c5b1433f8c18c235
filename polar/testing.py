"""Checks that the authors of models run: whether a class is a model that Polar can train.

from polar.testing import check_model

def test_my_model():
    check_model("my_lab.models:MlpVae", {"hidden": 64})
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from polar.data.images import as_pixels
from polar.models import Encoding, Losses, build
from polar.spec import ImageShape, OwnModelSpec

#: A small model and a short training.
LATENTS, IMAGES, STEPS, RATE = 3, 6, 4, 1e-3


def check_model(
    name: str,
    fields: Mapping[str, Any] | None = None,
    *,
    shapes: Sequence[tuple[int, int]] = ((1, 32), (3, 64)),
    u_sizes: Sequence[int] = (),
) -> None:
    """Check that a class is a model that can be trained, measured, stopped and kept.

    Args:
        name: `package.module:Class`, as in a spec; the test has imported the module.
        fields: The fields of its own part of the spec.
        shapes: Channels and side of the images that it takes.
        u_sizes: How many values each factor of u has.

    Raises:
        InvalidInput: the class is no model, or refuses its fields.
        AssertionError: it does something that a model must not do; the message says what.
    """
    for channels, side in shapes:
        _check(name, fields or {}, ImageShape(channels, side), u_sizes)


def _check(
    name: str, fields: Mapping[str, Any], shape: ImageShape, u_sizes: Sequence[int]
) -> None:
    spec = OwnModelSpec.model_validate(
        {"name": "own", "class": name, "latent_dim": LATENTS, "fields": fields}
    )

    def new(seed: int = 0) -> Any:  # noqa: ANN401
        return build(spec, shape, u_sizes, torch.Generator().manual_seed(seed))

    model, images, u = new(), _images(shape), _u(u_sizes)
    before = _copy_of(model.state_dict())
    assert _same(before, new().state_dict()), "two models of one seed have other first weights"
    assert not _same(before, new(1).state_dict()), "the seed does not change the first weights"
    model.eval()
    with torch.no_grad():
        encoding = model.encode(images, u)
    _check_encoding(encoding)
    with torch.no_grad():
        outputs = model.decode(encoding.mean)
    assert isinstance(outputs, Tensor), f"decode gives {type(outputs).__name__}, not a tensor"
    assert outputs.dtype == torch.float32, f"decode gives {outputs.dtype}, not float32"
    wanted = (IMAGES, shape.channels, shape.side, shape.side)
    assert tuple(outputs.shape) == wanted, f"decode gives {tuple(outputs.shape)}, not {wanted}"
    with torch.no_grad():
        again = model.encode(images, u).mean
        alone = model.encode(images[:2], u[:2]).mean
    assert torch.equal(encoding.mean, again), "encode gives other means when it is called again"
    is_close = torch.allclose(encoding.mean[:2], alone, rtol=1e-4, atol=1e-5)
    assert is_close, "the code of an image depends on the other images of its batch"
    assert _same(before, model.state_dict()), "encode or decode changes the state of the model"
    _check_training(new, images, u)


def _check_encoding(encoding: Encoding) -> None:
    assert isinstance(encoding, Encoding), f"encode gives {type(encoding).__name__}, not Encoding"
    for field in ("mean", "log_var", "prior_mean", "prior_log_var"):
        values = getattr(encoding, field)
        if values is None and field != "mean":
            continue
        shape = tuple(values.shape)
        assert shape == (IMAGES, LATENTS), f"{field} is {shape}, not {(IMAGES, LATENTS)}"
        assert values.dtype == torch.float32, f"{field} is {values.dtype}, not float32"
        assert torch.isfinite(values).all(), f"{field} is not finite"
    halves = [getattr(encoding, f"prior_{half}") is None for half in ("mean", "log_var")]
    assert halves[0] == halves[1], "a conditional prior has both prior_mean and prior_log_var"


def _check_training(new: Any, images: Tensor, u: Tensor) -> None:  # noqa: ANN401
    as_given = images.clone()
    losses = new().losses(images, u, _noise())
    assert torch.equal(images, as_given), "losses changes the images that it is given"
    assert isinstance(losses, Losses), f"losses gives {type(losses).__name__}, not Losses"
    for term in ("reconstruction", "penalty"):
        value = getattr(losses, term)
        assert isinstance(value, Tensor), f"{term} is {type(value).__name__}, not a tensor"
        assert value.ndim == 0, f"{term} has shape {tuple(value.shape)}, not ()"
        assert math.isfinite(value.item()), f"{term} is {value.item()}"
    repeated = new().losses(images, u, _noise())
    is_same = torch.equal(losses.reconstruction, repeated.reconstruction) and torch.equal(
        losses.penalty, repeated.penalty
    )
    assert is_same, "losses draws samples from elsewhere than the generator that it is given"
    loss = losses.reconstruction + losses.penalty
    assert loss.requires_grad, "the losses do not depend on any weight"
    whole, stopped, resumed = new(), new(), new(1)
    noises = [_noise(step) for step in range(STEPS)]
    for noise in noises:
        _step(whole, images, u, noise)
    for step in range(STEPS // 2):
        _step(stopped, images, u, _noise(step))
    resumed.load_state_dict(_copy_of(stopped.state_dict()))
    for step in range(STEPS // 2, STEPS):
        _step(resumed, images, u, _noise(step))
    is_finite = all(torch.isfinite(value).all() for value in whole.state_dict().values())
    assert is_finite, f"after {STEPS} steps at a rate of {RATE} the weights are not finite"
    assert _same(whole.state_dict(), resumed.state_dict()), (
        "a training that is stopped and resumed ends with other weights; all that the next step "
        "depends on must be in state_dict"
    )


def _step(model: Any, images: Tensor, u: Tensor, noise: torch.Generator) -> None:  # noqa: ANN401
    """A step along the signs of the gradients, which no size of the loss makes too large."""
    model.train()
    losses = model.losses(images, u, noise)
    parameters = [each for each in model.parameters() if each.requires_grad]
    loss = losses.reconstruction + losses.penalty
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter -= RATE * gradient.sign()


def _images(shape: ImageShape) -> Tensor:
    """Images as training gives them, whose channels stand last in memory."""
    size = (IMAGES, shape.channels, shape.side, shape.side)
    generator = torch.Generator().manual_seed(2)
    return as_pixels(torch.randint(256, size, dtype=torch.uint8, generator=generator))


def _u(sizes: Sequence[int]) -> Tensor:
    columns = [torch.eye(size)[torch.arange(IMAGES) % size] for size in sizes]
    return torch.cat([torch.empty(IMAGES, 0), *columns], dim=1)


def _noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(10 + seed)


def _copy_of(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.clone() for name, value in state.items()}


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
