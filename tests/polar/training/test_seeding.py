import numpy as np
import torch

from polar.training import seeding

CPU = torch.device("cpu")


def numpy_words() -> np.ndarray:
    return np.asarray(np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002


def drawn(generator: torch.Generator) -> list[float]:
    return torch.rand(4, generator=generator).tolist()


def test_the_same_seed_draws_the_same() -> None:
    assert drawn(seeding.weights(3)) == drawn(seeding.weights(3))
    assert drawn(seeding.noise(3, CPU)) == drawn(seeding.noise(3, CPU))
    assert torch.equal(seeding.order(3, 5, 100), seeding.order(3, 5, 100))


def test_seeds_purposes_and_epochs_draw_differently() -> None:
    weights = [drawn(seeding.weights(seed)) for seed in range(10)]
    noises = [drawn(seeding.noise(seed, CPU)) for seed in range(10)]
    orders = [seeding.order(seed, epoch, 100).tolist() for seed in (1, 11) for epoch in (1, 11)]

    for draws in (weights + noises, orders):
        assert len({tuple(draw) for draw in draws}) == len(draws)


def test_an_order_has_every_image_once() -> None:
    order = seeding.order(seed=0, epoch=0, n=1000)

    assert torch.equal(order.sort().values, torch.arange(1000))


def test_the_global_generators_are_left_alone() -> None:
    torch_state, numpy_state = torch.get_rng_state(), numpy_words()

    drawn(seeding.weights(0))
    seeding.order(0, 0, 10)

    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(numpy_words(), numpy_state)


def test_the_noise_of_evaluations_is_always_the_same_and_nobody_elses() -> None:
    noise = seeding.evaluation_noise((4, 10, 3), CPU)

    assert torch.equal(noise, seeding.evaluation_noise((4, 10, 3), CPU))
    assert not torch.equal(noise[0], noise[1])
    assert noise.dtype == torch.float32
