import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch

from polar.errors import Diverged
from polar.models import Encoding, Losses
from polar.records.events import Evaluation
from polar.records.latents import Flaw, Label, Regime
from polar.regime.settling import Look, Settling, settling
from polar.spec import ExperimentSpec
from polar.training import subset as subsets
from polar.training.evaluation import as_codes, encode, evaluate, measured
from polar.training.inputs import Inputs
from polar.training.schedule import steps_per_epoch
from polar.training.state import fresh
from polar.training.subset import EvaluationSubset, evaluation_subset

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
    """Paints every pixel of an image with the logit that a weighted sum of the latents says.

    Latent j of image i is the j-th deviation times a position that grows with i.
    """

    def __init__(
        self,
        stds: tuple[float, ...] = (1.0,),
        log_var: float = -20.0,
        weights: tuple[float, ...] | None = None,
    ) -> None:
        self.stds = torch.tensor(stds)
        self.log_var = log_var
        self.weights = torch.tensor(weights or [0.0] * len(stds))
        self.training = True

    def encode(self, images: torch.Tensor, _u: torch.Tensor) -> Encoding:
        positions = 4 * images[:, 0, 0, 0] - 2
        mean = positions[:, None] * self.stds
        return Encoding(mean, torch.full_like(mean, self.log_var))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents @ self.weights).view(-1, 1, 1, 1).expand(-1, 1, 32, 32)

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


def greys(n: int = 100) -> torch.Tensor:
    """Images of one grey value each, evenly from black to white."""
    values = torch.linspace(0, 255, n).round().to(torch.uint8)
    return values.view(n, 1, 1, 1).repeat(1, 1, 32, 32)


def test_a_decoder_that_draws_the_mean_image_explains_nothing_whatever_its_latents() -> None:
    spec = spec_of({"latent_dim": 2})

    found = evaluate(FakeModel((1.0, 1e-3)), subset_of(greys(), spec), spec, step=8)

    # Logit 0 is the mean of even greys; 300 steps on the digits end like this.
    assert found.verdict.explained == pytest.approx(0, abs=1e-6)
    assert found.verdict.explains_nothing
    assert found.verdict.paper_regime is Regime.POLARISED
    assert (found.verdict.regime, found.verdict.settled) == (Regime.UNTRAINED, False)


def test_what_explains_nothing_has_collapsed_once_training_has_settled() -> None:
    spec = spec_of({"latent_dim": 2})
    subset = subset_of(greys(), spec)
    loud = evaluate(FakeModel((1.0, 1.0), log_var=0.0), subset, spec, step=8)

    silent = [loud]
    for step in (512, 724, 1000):
        silent.append(evaluate(FakeModel((1e-4, 1e-4), 0.0), subset, spec, step, silent))

    assert [found.verdict.regime for found in silent] == [
        Regime.UNTRAINED,
        Regime.UNTRAINED,
        Regime.UNTRAINED,  # still compared with the loud beginning
        Regime.COLLAPSED,
    ]


def test_a_decoder_that_follows_its_wide_latent_is_clean() -> None:
    spec = spec_of({"latent_dim": 2})
    model = FakeModel((1.0, 1e-3), weights=(2.0, 0.0))

    found = evaluate(model, subset_of(greys(), spec), spec, step=8)

    assert [latent.label for latent in found.latents] == [Label.ACTIVE, Label.PASSIVE]
    assert [latent.is_idle for latent in found.latents] == [False, False]
    assert found.latents[0].usage_nats is not None
    assert found.latents[0].usage_nats > 10
    assert found.latents[1].usage_nats == pytest.approx(0, abs=1e-9)  # rounding of two means
    assert found.verdict.regime is Regime.CLEAN
    assert found.verdict.sufficiency == pytest.approx(1, abs=1e-6)
    assert (found.step, found.epoch) == (8, 8 / steps_per_epoch(spec))


def test_a_planted_latent_that_the_decoder_ignores_is_idle() -> None:
    model = FakeModel((1.0, 1.0, 1e-3), weights=(2.0, 0.0, 0.0))

    found = evaluate(model, subset_of(greys()), SPEC, step=8)

    assert [latent.is_idle for latent in found.latents] == [False, True, False]
    assert (found.verdict.regime, found.verdict.flaws) == (Regime.FORMING, (Flaw.IDLE,))
    assert found.verdict.n_idle == 1


def test_a_leak_through_a_passive_latent_is_seen() -> None:
    model = FakeModel((1.0, 1e-2, 1e-3), weights=(0.4, 60.0, 0.0))

    found = evaluate(model, subset_of(greys()), SPEC, step=8)

    assert found.latents[1].label is Label.PASSIVE
    assert (found.verdict.regime, found.verdict.flaws) == (Regime.FORMING, (Flaw.LEAK,))


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

    found = evaluate(state.model, subset, spec, step=256)

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

    with measured(state.model):
        codes = as_codes(encode(state.model, subset.inputs))

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

    monkeypatch.setattr(subsets, "BATCH", 7)
    parts = evaluate(state.model, subset, spec, step=1)

    # float32
    assert parts.reconstruction_nats == pytest.approx(whole.reconstruction_nats, rel=1e-6)
    assert [latent.kl_nats for latent in parts.latents] == pytest.approx(
        [latent.kl_nats for latent in whole.latents], rel=1e-4, abs=1e-9
    )


@pytest.mark.parametrize("information_images", [0, 1])
def test_information_is_not_measured_on_fewer_than_two_images(information_images: int) -> None:
    spec = spec_of({}, information_images=information_images)
    model = FakeModel((1.0, 1.0, 1.0))

    found = evaluate(model, subset_of(greys(), spec), spec, step=256)

    assert found.latents[0].information_nats is None
    assert found.latents[0].information_baseline_nats is None


def test_images_that_are_all_the_same_tell_nothing() -> None:
    white = torch.full((100, 1, 32, 32), 255, dtype=torch.uint8)
    model = FakeModel((1.0, 1.0, 1.0))

    found = evaluate(model, subset_of(white), SPEC, step=256)

    assert found.latents[0].information_nats is None


@pytest.mark.parametrize("until", ["steps", "settled"])
def test_the_information_is_measured_where_training_ends(until: str) -> None:
    content = SPEC.model_dump()
    content["training"] |= {"steps": 2000, "until": until}
    spec = ExperimentSpec.model_validate(content)
    subset, model = subset_of(greys(), spec), FakeModel((1.0, 1e-3, 1e-3), weights=(2.0, 0.0, 0.0))

    evaluations: list[Evaluation] = []
    for step in (512, 724, 1000, 1448, 2000):
        evaluations.append(evaluate(model, subset, spec, step, evaluations))

    measured_at = [each.step for each in evaluations if each.latents[0].information_nats]
    settled_at = [each.step for each in evaluations if each.verdict.settled]
    assert settled_at == [1000, 1448, 2000]
    assert measured_at == ([2000] if until == "steps" else settled_at)


def test_the_threshold_is_a_std_in_units_of_the_ruler() -> None:
    model = FakeModel((1.0, 0.2, 0.05))
    labels = {}
    for tau_std in (0.02, 0.134, 0.5, 3.0):
        spec = spec_of({}, tau_std=tau_std)
        found = evaluate(model, subset_of(greys()), spec, step=1)
        labels[tau_std] = [latent.label is Label.ACTIVE for latent in found.latents]
        assert found.verdict.tau_std == tau_std

    # The greys are even over four units: their std is 1.17.
    assert labels == {
        0.02: [True, True, True],
        0.134: [True, True, False],
        0.5: [True, False, False],
        3.0: [False, False, False],
    }


@pytest.mark.parametrize("mode", [True, False])
def test_a_model_comes_back_in_its_mode_whatever_happens(mode: bool) -> None:
    model = FakeModel((1.0, 1.0, 1.0))
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
    model = FakeModel((1.0, 1.0, 1.0), weights=(math.nan, 0.0, 0.0))

    with pytest.raises(Diverged, match="finite any more at step 7: the loss of an image is not"):
        evaluate(model, subset_of(greys()), SPEC, step=7)


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
    model = FakeModel((std, 1.0, 1.0), log_var)

    with pytest.raises(Diverged, match=f"at step 7: {what}"):
        evaluate(model, subset_of(greys()), SPEC, step=7)


def test_what_an_evaluation_says_of_settling_leaves_out_the_rise_of_the_weight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = SPEC.model_dump()
    content["training"] |= {"steps": 100, "weight_warm_up": {"fraction": 0.25}}
    spec = ExperimentSpec.model_validate(content)
    asked = []

    def spy(looks: Sequence[Look], risen_at: int) -> Settling:
        asked.append(([look.step for look in looks], risen_at))
        return settling(looks, risen_at)

    monkeypatch.setattr("polar.training.evaluation.settling", spy)
    model, subset = FakeModel((1.0, 1e-3, 1e-3)), subset_of(greys(), spec)
    evaluate(model, subset, spec, 100, [evaluate(model, subset, spec, 10)])

    assert asked == [([10], 25), ([10, 100], 25)]
