"""Models of users are imported where that is allowed, and are held to what models must do."""

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel

from polar.errors import InvalidInput
from polar.models import Encoding, Losses, Sizes, build
from polar.models.own import class_of
from polar.records.events import Result
from polar.spec import ExperimentSpec, ImageShape, OwnModelSpec
from polar.spec.own_models import GROUP, offered
from polar.testing import check_model

EXAMPLE = Path(__file__).parents[3] / "polar" / "examples" / "own_models"


@pytest.fixture
def lab_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The example's module, as a program has imported it."""
    monkeypatch.syspath_prepend(EXAMPLE)
    yield importlib.import_module("lab_models")
    sys.modules.pop("lab_models")


def spec_of(kind: str, **fields: object) -> OwnModelSpec:
    return OwnModelSpec.model_validate(
        {"name": "own", "class": kind, "latent_dim": 3, "fields": fields}
    )


@pytest.mark.usefixtures("lab_models")
@pytest.mark.parametrize("kind", ["MlpVAE", "BetaTCVAE"])
def test_the_examples_are_models(kind: str) -> None:
    check_model(f"lab_models:{kind}", {"hidden": 16})


def test_the_penalty_is_the_kl_and_more_of_the_total_correlation(
    lab_models: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = spec_of("lab_models:BetaTCVAE", gamma=5.0)
    model = build(spec, ImageShape(1, 32), (), torch.Generator().manual_seed(0))
    mean = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    log_var = torch.full((7, 3), -1.0)
    images, noise = torch.rand(7, 1, 32, 32), torch.Generator().manual_seed(1)

    monkeypatch.setattr(lab_models.MlpVAE, "encode", lambda *_: Encoding(mean, log_var))
    losses = model.losses(images, torch.empty(7, 0), noise)

    z = mean + (log_var / 2).exp() * torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    q = torch.distributions.Normal(mean, (log_var / 2).exp())
    log_q: Any = q.log_prob
    each = torch.stack([log_q(row).exp() for row in z])  # samples, images, latents
    joint = each.prod(2).mean(1).log()
    marginals = each.mean(1).log().sum(1)
    prior = torch.distributions.Normal(0.0, 1.0)
    kl = torch.distributions.kl_divergence(q, prior).sum(1).mean()
    expected = kl + 4 * (joint - marginals).mean()
    errors = torch.nn.functional.binary_cross_entropy_with_logits(
        model.decode(z), images, reduction="sum"
    )
    assert losses.penalty.item() == pytest.approx(expected.item(), abs=1e-4)
    assert losses.reconstruction.item() == pytest.approx(errors.item() / 7, rel=1e-5)


@pytest.mark.usefixtures("lab_models")
def test_a_run_trains_it_and_keeps_it(tmp_path: Path) -> None:
    import polar

    spec = ExperimentSpec.model_validate(
        {
            "dataset": {"name": "digits", "images": 60},
            "model": {
                **{"name": "own", "class": "lab_models:MlpVAE", "weight": 0.5},
                **{"latent_dim": 3, "fields": {"hidden": 16, "widths": [4, 4, 4, 4, 4]}},
            },
            "training": {"steps": 20, "batch_size": 20},
            "diagnostics": {"images": 40},
        }
    )
    assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec
    assert spec.model.weight == 0.5
    assert spec.model.with_weight(2.0).weight == 2.0

    *_, result = polar.run(spec, out=tmp_path / "out")
    *_, again = polar.run(spec)

    assert isinstance(result, Result)
    assert isinstance(again, Result)
    assert again.final == result.final
    assert result.loss_terms is None  # nobody knows how its penalty depends on its codes
    model = polar.load(tmp_path / "out")
    assert type(model.network).__name__ == "MlpVAE"
    assert model.encode(torch.rand(5, 1, 32, 32)).mean.shape == (5, 3)


@pytest.mark.usefixtures("lab_models")
def test_what_the_program_has_imported_is_not_imported_again() -> None:
    module = sys.modules["lab_models"]

    assert class_of("lab_models:MlpVAE") is module.MlpVAE
    assert sys.modules["lab_models"] is module


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit(0)", r"the module of the model faulty:Net fails: SystemExit\(0\)"),
        ("1 +", r"the module of the model faulty:Net fails: SyntaxError"),
        ("raise ValueError('no')", r"fails: ValueError\('no'\)"),
        ("import nowhere", "there is no model faulty:Net: No module named 'nowhere'"),
        (
            "import torch, pydantic\n"
            "class Net(torch.nn.Module):\n"
            "    class Fields(pydantic.BaseModel): pass\n"
            "    def __init__(self): pass",
            r"faulty:Net cannot be made: TypeError",
        ),
        (
            "import torch, pydantic\n"
            "class Net(torch.nn.Module):\n"
            "    class Fields(pydantic.BaseModel): pass\n"
            "    def __init__(self, fields, *_):\n"
            "        fields.nothing  # raises in a line of pydantic's",
            r"faulty:Net cannot be made: AttributeError.* at .*faulty.py, line 5$",
        ),
        (
            "import torch, pydantic\n"
            "class Net(torch.nn.Module):\n"
            "    class Fields(pydantic.BaseModel): pass\n"
            "    def __init__(self, *_): super().__init__()\n"
            "    def get_extra_state(self): return {}",
            r"the state of faulty:Net has _extra_state; allowed: tensors only",
        ),
    ],
)
def test_faults_of_the_users_code_are_said_in_words(
    code: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("POLAR_MODEL_PACKAGES", "faulty")
    importlib.invalidate_caches()

    with pytest.raises(InvalidInput, match=words):
        build(spec_of("faulty:Net"), ImageShape(1, 32), (), torch.Generator())
    sys.modules.pop("faulty", None)


def test_entry_points_that_no_spec_can_name_are_not_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offers = {
        "good": "lab:Net", "with blanks": "lab:Net", "inner": "lab:Outer.Net",
        "extra": "lab:Net [more]", "module": "lab",
    }  # fmt: skip
    points = [EntryPoint(name, value, GROUP) for name, value in offers.items()]
    monkeypatch.setattr("polar.spec.own_models.entry_points", lambda **_: points)

    assert offered() == {"good": "lab:Net"}


class Tied(torch.nn.Module):
    """A linear autoencoder whose decoder is its encoder, under two names."""

    class Fields(BaseModel):
        pass

    def __init__(self, _fields: Fields, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = sizes.shape
        weights = 0.03 * torch.randn(sizes.latent_dim, sizes.shape.values, generator=generator)
        self.encoder = self.decoder = torch.nn.Parameter(weights)

    def encode(self, images: torch.Tensor, _u: torch.Tensor) -> Encoding:
        return Encoding(images.flatten(1) @ self.encoder.T)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        side = self.shape.side
        return (latents @ self.decoder).reshape(-1, self.shape.channels, side, side)

    def losses(self, images: torch.Tensor, u: torch.Tensor, _noise: torch.Generator) -> Losses:
        codes = self.encode(images, u).mean
        errors = (self.decode(codes) - images).square().sum() / len(images)
        return Losses(errors, codes.square().sum(1).mean())


def test_tied_weights_are_kept(tmp_path: Path) -> None:
    import polar

    check_model(f"{__name__}:Tied")
    spec = {
        "dataset": {"name": "digits", "images": 60},
        "model": {"name": "own", "class": f"{__name__}:Tied", "latent_dim": 3},
        "training": {"steps": 4, "batch_size": 20},
    }
    list(polar.run(ExperimentSpec.model_validate(spec), out=tmp_path))
    network: Any = polar.load(tmp_path).network

    assert torch.equal(network.encoder, network.decoder)


def test_a_package_that_nobody_named_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.setenv("POLAR_MODEL_PACKAGES", "lab other")

    with pytest.raises(InvalidInput, match=r"lab_models:MlpVAE may not be imported.*lab, other"):
        class_of("lab_models:MlpVAE")

    assert "lab_models" not in sys.modules


def test_a_package_that_is_named_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.setenv("POLAR_MODEL_PACKAGES", "other,lab_models")

    assert class_of("lab_models:MlpVAE").__name__ == "MlpVAE"
    sys.modules.pop("lab_models")


@pytest.mark.usefixtures("lab_models")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lab_models:Nothing", "there is no model lab_models:Nothing"),
        ("lab_models:kl_per_latent", "is no model; allowed: a class of nn.Module"),
        ("torch.nn:Linear", "is no model; allowed: a class of nn.Module"),
        ("nobody_offers_this", "no installed package offers a model nobody_offers_this"),
    ],
)
def test_what_is_no_model_is_refused(name: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        class_of(name)


@pytest.mark.usefixtures("lab_models")
def test_its_own_part_of_the_spec_is_checked_by_the_class() -> None:
    spec = spec_of("lab_models:MlpVAE", hidden=0, depth=3)

    with pytest.raises(InvalidInput, match=r"/model/fields/hidden.*/model/fields/depth"):
        build(spec, ImageShape(1, 32), (), torch.Generator())


def test_a_name_that_the_class_does_not_know_is_refused() -> None:
    spec = spec_of(f"{__name__}:Broken", fault="none", fualt="seed")

    with pytest.raises(InvalidInput, match=r"/model/fields/fualt: Extra inputs"):
        build(spec, ImageShape(1, 32), (), torch.Generator())


@pytest.mark.parametrize("kind", ["", "a:b:c", "1a:B", "a:", "a b:C", "a:B.c", "../a:B"])
def test_names_that_name_no_class_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="class"):
        spec_of(kind)


class Broken(torch.nn.Module):
    """A model with a fault that is chosen by its fields."""

    class Fields(BaseModel):
        fault: str

    def __init__(self, fields: Fields, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.fault, self.sizes, self.calls = fields.fault, sizes, 0
        values = sizes.shape.values
        source = None if self.fault == "seed" else generator
        self.out = torch.nn.Parameter(
            0.1 * torch.randn(sizes.latent_dim, values, generator=source)
        )
        self.register_buffer("seen", torch.zeros(()))

    def encode(self, images: torch.Tensor, _u: torch.Tensor) -> Encoding:
        self.calls += 1
        mean = images.flatten(1) @ self.out.T
        if self.fault == "view":
            mean = images.view(len(images), -1) @ self.out.T
        if self.fault == "batch":
            mean = mean - mean.mean(0)
        if self.fault == "state":
            self.seen = self.get_buffer("seen") + 1
        if self.fault == "noise":
            mean = mean + torch.randn_like(mean)
        if self.fault == "narrow":
            mean = mean[:, :1]
        return Encoding(mean)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        if self.fault == "list":
            return [latents]  # type: ignore[return-value]
        flat = latents @ self.out
        side = self.sizes.shape.side
        shape = (
            (len(latents), -1) if self.fault == "flat" else (-1, self.sizes.shape[0], side, side)
        )
        return flat.reshape(shape)

    def losses(self, images: torch.Tensor, u: torch.Tensor, noise: torch.Generator) -> Losses:
        source = None if self.fault == "generator" else noise
        drawn = self.decode(self.encode(images, u).mean + torch.randn(1, generator=source))
        if self.fault == "memory":
            drawn = drawn * self.calls
        loss = (drawn - images).square().sum() / len(images)
        if self.fault == "constant":
            loss = loss.detach()
        if self.fault == "tuple":
            return loss, loss  # type: ignore[return-value]
        return Losses(loss, loss.new_zeros(()))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("seed", "two models of one seed have other first weights"),
        ("batch", "depends on the other images of its batch"),
        ("state", "encode or decode changes the state"),
        ("noise", "other means when it is called again"),
        ("narrow", r"mean is \(6, 1\), not \(6, 3\)"),
        ("flat", r"decode gives \(6, 1024\)"),
        ("generator", "draws samples from elsewhere"),
        ("memory", "stopped and resumed ends with other weights"),
        ("tuple", "losses gives tuple, not Losses"),
        ("list", "decode gives list, not a tensor"),
        ("constant", "the losses do not depend on any weight"),
    ],
)
def test_a_broken_model_is_told_what_is_wrong(fault: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_model(f"{__name__}:Broken", {"fault": fault})


def test_images_are_in_colour_as_training_gives_them() -> None:
    # `view` passed here, and failed in every training in colour.
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        check_model(f"{__name__}:Broken", {"fault": "view"})


def test_a_plain_model_passes() -> None:
    check_model(f"{__name__}:Broken", {"fault": "none"})
