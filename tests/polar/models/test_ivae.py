import pytest
import torch

from polar.models.ivae import IVAE
from polar.models.posterior import conditional_kl_per_latent
from polar.records.latents import Label
from polar.regime.codes import Codes, codes
from polar.regime.criteria import active_unit_labels, conditional_prior_labels
from polar.spec import ImageShape, IVAESpec

SMALL = {"latent_dim": 3, "widths": (4, 4, 4, 4, 4)}


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(6, 1, 32, 32, generator=generator)


@pytest.fixture
def u() -> torch.Tensor:
    """Six images, two of each of three values."""
    return torch.eye(3).repeat(2, 1)


def ivae(generator: torch.Generator, sizes: tuple[int, ...] = (3,), **fields: object) -> IVAE:
    names = ("digit", "colour")[: len(sizes)]
    return IVAE(
        IVAESpec.model_validate({**SMALL, "u": names, **fields}),
        ImageShape(1, 32),
        sizes,
        generator,
    )


def test_the_prior_of_one_factor_is_a_table_of_its_values(
    generator: torch.Generator, images: torch.Tensor, u: torch.Tensor
) -> None:
    model = ivae(generator)

    encoding = model.encode(images, u)

    tables = {"prior_mean": encoding.prior_mean, "prior_log_var": encoding.prior_log_var}
    for name, values in tables.items():
        assert values is not None
        table = model.get_parameter(f"{name}.weight").T  # one row a value
        assert table.shape == (3, 3)
        assert torch.equal(values, table.repeat(2, 1))


def test_the_prior_of_several_factors_is_a_network_of_three_layers_of_fifty(
    generator: torch.Generator,
) -> None:
    model = ivae(generator, sizes=(3, 2))

    shapes = [tuple(p.shape) for p in model.prior_mean.parameters() if p.dim() == 2]
    assert shapes == [(50, 5), (50, 50), (50, 50), (3, 50)]
    layers = model.prior_mean.children()
    slopes = [layer.negative_slope for layer in layers if isinstance(layer, torch.nn.LeakyReLU)]
    assert slopes == [0.1] * 3


def test_the_kl_is_that_from_the_conditional_prior(
    generator: torch.Generator, images: torch.Tensor, u: torch.Tensor
) -> None:
    model = ivae(generator, alpha=5.0)
    torch.nn.init.normal_(model.get_parameter("prior_mean.weight"), generator=generator)

    losses = model.losses(images, u, generator)

    encoding = model.encode(images, u)
    assert encoding.log_var is not None
    assert encoding.prior_mean is not None
    assert encoding.prior_log_var is not None
    kl = conditional_kl_per_latent(
        encoding.mean, encoding.log_var, encoding.prior_mean, encoding.prior_log_var
    )
    # Sums in float32.
    assert losses.penalty.item() == pytest.approx(kl.sum(1).mean().item(), rel=1e-6)


def test_the_encoder_sees_u_beside_the_features(
    generator: torch.Generator, images: torch.Tensor, u: torch.Tensor
) -> None:
    model = ivae(generator)

    encoding, other = model.encode(images, u), model.encode(images, u.roll(1, 0))

    # What u adds is its column of the head.
    columns = model.mean_head.weight[:, 4:].T  # after four features
    expected = (u.roll(1, 0) - u) @ columns
    assert torch.allclose(other.mean - encoding.mean, expected, atol=1e-6)
    assert other.log_var is not None
    assert encoding.log_var is not None
    assert not torch.equal(other.log_var, encoding.log_var)


def train(model: IVAE, images: torch.Tensor, u: torch.Tensor, steps: int) -> None:
    optimiser = torch.optim.Adam(model.parameters(), 0.03)
    noise = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimiser.zero_grad()
        losses = model.losses(images, u, noise)
        torch.autograd.backward(losses.reconstruction + model.spec.alpha * losses.penalty)
        optimiser.step()


def codes_of(model: IVAE, images: torch.Tensor, u: torch.Tensor) -> Codes:
    with torch.no_grad():
        encoding = model.encode(images, u)
    assert encoding.log_var is not None
    assert encoding.prior_mean is not None
    assert encoding.prior_log_var is not None
    return codes(
        encoding.mean, encoding.log_var.exp(), encoding.prior_mean, encoding.prior_log_var.exp()
    )


def test_a_fixed_prior_mean_stays_zero_and_its_variance_is_learned(
    generator: torch.Generator, images: torch.Tensor, u: torch.Tensor
) -> None:
    model = ivae(generator, prior_mean="fixed")
    before = model.encode(images, u).prior_log_var

    train(model, images, u, steps=5)

    encoding = model.encode(images, u)
    assert before is not None
    assert encoding.prior_mean is not None
    assert encoding.prior_log_var is not None
    assert (encoding.prior_mean == 0).all()
    assert not torch.equal(encoding.prior_log_var, before)
    assert not any(name.startswith("prior_mean") for name, _ in model.named_parameters())


def test_with_a_large_weight_only_a_learned_prior_lets_the_mean_follow_u(
    generator: torch.Generator, images: torch.Tensor, u: torch.Tensor
) -> None:
    models = {kind: ivae(generator, alpha=100.0, prior_mean=kind) for kind in ("learned", "fixed")}
    labels = {}
    for kind, model in models.items():
        # A head that tells the values of u apart, as training for reconstruction would have it.
        with torch.no_grad():
            model.mean_head.weight[:, 4:] = torch.eye(3)
        train(model, images, u, steps=80)
        of = codes_of(model, images, u)
        labels[kind] = {
            rule: [one.label for one in rule(of)]
            for rule in (conditional_prior_labels, active_unit_labels)
        }

    # No divergence, by the thresholds of the criteria; and yet a mean that varies.
    assert labels["learned"][conditional_prior_labels] == [Label.PASSIVE] * 3
    assert labels["learned"][active_unit_labels] == [Label.ACTIVE] * 3
    assert labels["fixed"][conditional_prior_labels] == [Label.PASSIVE] * 3
    assert labels["fixed"][active_unit_labels] == [Label.PASSIVE] * 3


@pytest.mark.parametrize("value", [-1e6, 1e6])
def test_the_prior_log_variance_is_clamped(
    value: float, generator: torch.Generator, images: torch.Tensor, u: torch.Tensor
) -> None:
    model = ivae(generator)
    torch.nn.init.constant_(model.get_parameter("prior_log_var.weight"), value)

    log_var = model.encode(images, u).prior_log_var

    assert log_var is not None
    assert (log_var == (-20 if value < 0 else 10)).all()
