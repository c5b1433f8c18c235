import torch

from polar.data.images import ImageDataset, load
from polar.spec import ExperimentSpec
from polar.training.inputs import Inputs, inputs, u_sizes


def spec(
    model: dict[str, object], dataset: dict[str, object] | None = None, held_out: float = 0
) -> ExperimentSpec:
    dataset = dataset or {"name": "digits", "images": 100}
    return ExperimentSpec.model_validate(
        {"dataset": dataset, "model": model, "training": {"held_out": held_out}}
    )


def test_a_model_without_u_is_told_nothing() -> None:
    beta_vae = spec({"name": "beta_vae"})
    dataset = load(beta_vae.dataset)

    data = inputs(dataset, beta_vae, torch.device("cpu")).training

    assert u_sizes(beta_vae) == ()
    assert data.u.shape == (100, 0)
    assert torch.equal(data.images, dataset.images)


def test_an_ivae_is_told_the_digit() -> None:
    ivae = spec({"name": "ivae"})
    dataset = load(ivae.dataset)

    data = inputs(dataset, ivae, torch.device("cpu")).training

    assert u_sizes(ivae) == (10,)
    assert torch.equal(data.u, torch.eye(10).byte()[dataset.factors[:, 0]])


def test_several_factors_stand_side_by_side_in_the_order_of_the_spec() -> None:
    sprites = spec({"name": "ivae", "u": ["scale", "shape"]}, {"name": "sprites"})
    factors = torch.tensor([[2, 5, 0, 0, 0], [0, 1, 0, 0, 0]])
    dataset = object.__new__(ImageDataset)
    object.__setattr__(dataset, "images", torch.zeros(2, 1, 64, 64, dtype=torch.uint8))
    object.__setattr__(dataset, "factors", factors)

    data = inputs(dataset, sprites, torch.device("cpu")).training

    assert u_sizes(sprites) == (6, 3)
    assert data.u.tolist() == [
        [0, 0, 0, 0, 0, 1, 0, 0, 1],
        [0, 1, 0, 0, 0, 0, 1, 0, 0],
    ]


def test_a_batch_has_the_rows_asked_for_as_numbers() -> None:
    images = (torch.arange(5) * 51).byte().view(5, 1, 1, 1).repeat(1, 1, 32, 32)
    data = Inputs(images, torch.eye(5).byte())

    pixels, u = data.batch(torch.tensor([4, 0, 4]))

    assert torch.equal(pixels[:, 0, 0, 0], torch.tensor([0.8, 0.0, 0.8]))
    assert u.tolist() == torch.eye(5)[[4, 0, 4]].tolist()
    assert pixels.dtype == u.dtype == torch.float32


def test_the_first_are_the_first() -> None:
    data = Inputs(torch.zeros(5, 1, 32, 32).byte(), torch.eye(5).byte())

    assert torch.equal(data.first(2).u, torch.eye(5).byte()[:2])
    assert len(data.first(2)) == 2
    assert len(data.first(9)) == 5


def test_the_last_images_are_held_out() -> None:
    ivae = spec({"name": "ivae"}, held_out=0.2)
    dataset = load(ivae.dataset)

    split = inputs(dataset, ivae, torch.device("cpu"))

    assert (len(split.training), len(split.held_out)) == (80, 20)
    assert torch.equal(torch.cat([split.training.images, split.held_out.images]), dataset.images)
    assert torch.equal(split.held_out.u, torch.eye(10).byte()[dataset.factors[80:, 0]])


def test_there_may_be_no_held_out_images() -> None:
    whole = spec({"name": "beta_vae"})

    split = inputs(load(whole.dataset), whole, torch.device("cpu"))

    assert (len(split.training), len(split.held_out)) == (100, 0)
