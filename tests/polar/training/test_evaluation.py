import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch

from polar.errors import Diverged
from polar.models import Encoding, Losses
from polar.records.latents import Label, Regime
from polar.spec import ExperimentSpec
from polar.training import evaluation
from polar.training.evaluation import (
    EvaluationSubset,
    encode_subset,
    evaluate,
    evaluation_subset,
    measured,
)
from polar.training.inputs import Inputs
from polar.training.state import fresh

SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": 100},
        "model": {"latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
        "training": {"batch_size": 25},
    }
)


def subset_of(images: torch.Tensor, spec: ExperimentSpec = SPEC) -> EvaluationSubset:
    return evaluation_subset(Inputs(images, torch.empty(len(images), 0).byte()), spec)


def spec_of(model: dict[str, Any], **diagnostics: object) -> ExperimentSpec:
    content = SPEC.model_dump(exclude={"model"})
    return ExperimentSpec.model_validate(
        {
            **content,
            "model": {"latent_dim": 3, "widths": [4, 4, 4, 4, 4], **model},
            "diagnostics": diagnostics,
        }
    )


class FakeModel:
    """Draws what it is told, whatever the latents; latent j has the given deviation."""

    def __init__(
        self, logits: torch.Tensor, stds: tuple[float, ...] = (1.0,), log_var: float = 0.0
    ) -> None:
        self.logits = logits
        self.stds = torch.tensor(stds)
        self.log_var = log_var
        self.decoded = 0
        self.training = True

    def encode(self, images: torch.Tensor, _u: torch.Tensor) -> Encoding:
        positions = torch.linspace(-2, 2, len(images))
        mean = positions[:, None] * self.stds
        return Encoding(mean, torch.full_like(mean, self.log_var))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        first, self.decoded = self.decoded, self.decoded + len(latents)
        return self.logits[first : self.decoded]

    def losses(self, images: torch.Tensor, u: torch.Tensor, noise: torch.Generator) -> Losses:
        raise NotImplementedError

    def train(self, mode: bool = True) -> None:
        self.training = mode

    def eval(self) -> None:
        self.training = False

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        raise NotImplementedError

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        raise NotImplementedError


def black_and_white(n: int = 100) -> torch.Tensor:
    """As many black images as white ones."""
    return (torch.arange(n) % 2 * 255).to(torch.uint8).view(n, 1, 1, 1).repeat(1, 1, 32, 32)


def test_the_subset_is_the_first_images() -> None:
    images = black_and_white()

    subset = subset_of(images, spec_of({}, images=10))

    assert torch.equal(subset.inputs.images, images[:10])
    assert len(subset.inputs.u) == len(subset.inputs) == 10


def test_the_loss_of_the_mean_image_is_that_of_a_decoder_that_draws_it() -> None:
    images = torch.randint(0, 256, (300, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    subset = subset_of(images.to(torch.uint8), spec_of({}, images=300))
    mean_image = images.double().mean(0) / 255
    drawing = FakeModel(mean_image.logit().float().repeat(300, 1, 1, 1))

    evaluation = evaluate(drawing, subset, SPEC, step=8)

    # Pixels and logits are float32.
    assert evaluation.reconstruction_nats == pytest.approx(subset.losses.mean_image, rel=1e-6)
    assert evaluation.verdict.explained == pytest.approx(0, abs=1e-6)
    assert evaluation.verdict.no_reconstruction_gain


def test_a_perfect_reconstruction_reaches_the_floor_and_explains_everything() -> None:
    images = torch.randint(1, 255, (300, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    subset = subset_of(images.to(torch.uint8), spec_of({}, images=300))
    drawing = FakeModel((images.double() / 255).logit().float())

    evaluation = evaluate(drawing, subset, SPEC, step=8)

    assert evaluation.reconstruction_nats == pytest.approx(subset.losses.floor, rel=1e-6)
    assert evaluation.verdict.explained == pytest.approx(1, abs=1e-5)


def test_a_wide_latent_is_active_and_a_narrow_one_passive() -> None:
    subset = subset_of(black_and_white())
    model = FakeModel(torch.zeros(100, 1, 32, 32), stds=(1.0, 1e-3))

    evaluation = evaluate(model, subset, SPEC, step=8)

    assert [latent.label for latent in evaluation.latents] == [Label.ACTIVE, Label.PASSIVE]
    assert evaluation.verdict.regime == Regime.POLARISED
    assert evaluation.step == 8
    assert evaluation.epoch == 2.0  # of four batches


MODELS: list[dict[str, Any]] = [
    {"name": "beta_vae"},
    {"name": "ivae"},
    {"name": "fixed_variance_vae"},
    {"name": "lv_ae"},
    {"name": "l2_ae"},
    {"name": "ae"},
]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])


def varied() -> Inputs:
    """Images of ten kinds, told as u too."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (100, 1, 32, 32), generator=generator).to(torch.uint8)
    return Inputs(images, torch.eye(10).byte().repeat(10, 1))


def inputs_for(spec: ExperimentSpec) -> Inputs:
    data = varied()
    return data if spec.u else Inputs(data.images, data.u[:, :0])


@each_model
def test_an_evaluation_draws_no_chance_and_changes_nothing(model: dict[str, Any]) -> None:
    spec = spec_of(model)
    state = fresh(spec, "digest", torch.device("cpu"))
    subset = evaluation_subset(inputs_for(spec), spec)
    before = torch.get_rng_state()
    weights = {name: value.clone() for name, value in state.model.state_dict().items()}

    first = evaluate(state.model, subset, spec, step=1)
    second = evaluate(state.model, subset, spec, step=1)

    assert first == second
    assert torch.equal(torch.get_rng_state(), before)
    assert state.model.training
    for name, value in state.model.state_dict().items():
        assert torch.equal(value, weights[name])
    assert all(parameter.grad is None for parameter in state.model.parameters())


@each_model
def test_what_is_measured_depends_on_the_model(model: dict[str, Any]) -> None:
    spec = spec_of(model)
    state = fresh(spec, "digest", torch.device("cpu"))
    subset = evaluation_subset(inputs_for(spec), spec)

    found = evaluate(state.model, subset, spec, step=1)

    variational = model["name"].endswith("vae")
    for latent in found.latents:
        assert (latent.kl_nats is not None) == variational
        assert (latent.entropy_given_u_nats is not None) == (model["name"] == "ivae")
        assert latent.information_nats is not None
        assert latent.information_baseline_nats is not None


@each_model
def test_the_codes_of_the_subset_are_what_the_encoder_says(model: dict[str, Any]) -> None:
    spec = spec_of(model)
    state = fresh(spec, "digest", torch.device("cpu"))
    subset = evaluation_subset(inputs_for(spec), spec)

    codes = encode_subset(state.model, subset)

    encoding = state.model.encode(*subset.inputs.batch(torch.arange(100)))
    expected = {
        "mean": encoding.mean,
        "variance": None if encoding.log_var is None else encoding.log_var.double().exp(),
        "prior_mean": encoding.prior_mean,
        "prior_variance": (
            None if encoding.prior_log_var is None else encoding.prior_log_var.double().exp()
        ),
    }
    for name, values in expected.items():
        found = getattr(codes, name)
        if values is None:
            assert found is None
        else:
            assert found.dtype.name == "float64"
            assert found == pytest.approx(values.detach().double().numpy(), rel=1e-6)


def test_batches_are_of_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of({"name": "ivae"})
    state = fresh(spec, "digest", torch.device("cpu"))
    subset = evaluation_subset(varied(), spec)
    whole = evaluate(state.model, subset, spec, step=1)

    monkeypatch.setattr(evaluation, "BATCH", 7)
    parts = evaluate(state.model, subset, spec, step=1)

    # float32
    assert parts.reconstruction_nats == pytest.approx(whole.reconstruction_nats, rel=1e-6)
    assert [latent.kl_nats for latent in parts.latents] == pytest.approx(
        [latent.kl_nats for latent in whole.latents], rel=1e-4, abs=1e-9
    )


@pytest.mark.parametrize("information_images", [0, 1])
def test_information_is_not_measured_on_fewer_than_two_images(information_images: int) -> None:
    spec = spec_of({}, information_images=information_images)
    model = FakeModel(torch.zeros(100, 1, 32, 32))

    found = evaluate(model, subset_of(black_and_white(), spec), spec, step=1)

    assert found.latents[0].information_nats is None
    assert found.latents[0].information_baseline_nats is None


def test_images_that_are_all_the_same_tell_nothing() -> None:
    white = torch.full((100, 1, 32, 32), 255, dtype=torch.uint8)
    model = FakeModel(torch.zeros(100, 1, 32, 32))

    found = evaluate(model, subset_of(white), SPEC, step=1)

    assert found.latents[0].information_nats is None


@pytest.mark.parametrize("rule", ["gap", "otsu", "mixture"])
def test_the_threshold_can_be_found_from_the_entropies(rule: str) -> None:
    spec = spec_of({}, tau_rule=rule, tau=1e-9)
    stds = (1.0, 1.1, 0.9, 0.004, 0.005, 0.003)

    found = evaluate(
        FakeModel(torch.zeros(100, 1, 32, 32), stds), subset_of(black_and_white()), spec, step=1
    )

    entropies = [latent.judged_entropy_nats for latent in found.latents]
    assert max(entropies[3:]) < found.verdict.tau_nats < min(entropies[:3])
    assert [latent.label for latent in found.latents] == [Label.ACTIVE] * 3 + [Label.PASSIVE] * 3
    assert found.verdict.n_active == 3


@pytest.mark.parametrize("rule", ["gap", "otsu", "mixture"])
def test_where_no_two_groups_are_seen_the_fixed_threshold_stands_in(rule: str) -> None:
    spec = spec_of({}, tau_rule=rule, tau=0.125)
    model = FakeModel(torch.zeros(100, 1, 32, 32), (1.0, 1.01, 0.99))

    found = evaluate(model, subset_of(black_and_white()), spec, step=1)

    assert found.verdict.tau_nats == 0.125


def test_a_gaussian_likelihood_has_the_losses_of_its_own() -> None:
    spec = spec_of({"likelihood": {"name": "gaussian", "std": 0.5}})
    images = black_and_white()
    subset = subset_of(images, spec)

    found = evaluate(FakeModel(images.float() / 255), subset, spec, step=1)

    assert found.reconstruction_nats == pytest.approx(subset.losses.floor, rel=1e-12)
    assert found.verdict.explained == 1


@pytest.mark.parametrize("mode", [True, False])
def test_a_model_comes_back_in_its_mode_whatever_happens(mode: bool) -> None:
    model = FakeModel(torch.zeros(100, 1, 32, 32))
    model.train(mode)

    def fail() -> None:
        with measured(model):
            assert not model.training
            assert not torch.is_grad_enabled()
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert model.training is mode
    assert torch.is_grad_enabled()


def test_a_model_that_is_not_finite_has_diverged() -> None:
    model = FakeModel(torch.full((100, 1, 32, 32), math.nan))

    with pytest.raises(Diverged, match="not finite any more at step 7: its loss is nan"):
        evaluate(model, subset_of(black_and_white()), SPEC, step=7)


@pytest.mark.parametrize(
    ("std", "log_var", "what"),
    [
        (math.nan, 0.0, "mean of latent 0"),
        (math.inf, 0.0, "mean of latent 0"),
        (1.0, math.nan, "variance of latent 0"),
        (1.0, 800.0, "variance of latent 0"),  # finite, but not its exponential
        (1.0, -800.0, "variance of latent 0"),
    ],
)
def test_codes_that_are_not_finite_have_diverged(std: float, log_var: float, what: str) -> None:
    model = FakeModel(torch.zeros(100, 1, 32, 32), (std,), log_var)

    with pytest.raises(Diverged, match=f"at step 7: {what}"):
        evaluate(model, subset_of(black_and_white()), SPEC, step=7)
