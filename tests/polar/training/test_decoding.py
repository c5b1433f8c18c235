"""Painters: decoders that paint every pixel of an image alike, from latents that are known."""

import math
from collections.abc import Callable

import pytest
import torch

from polar.errors import Diverged
from polar.models import Encoding, Losses
from polar.spec import ExperimentSpec
from polar.training.decoding import Decoder, images_decoded
from polar.training.inputs import Inputs
from polar.training.subset import EvaluationSubset, evaluation_subset

N = 200
PIXELS = 32 * 32
SPEC = ExperimentSpec.model_validate(
    {
        "dataset": {"name": "digits", "images": N},
        "model": {"latent_dim": 3, "likelihood": {"name": "gaussian", "std": 1.0}},
    }
)
#: Every other image is white.
WHITE = (torch.arange(N) % 2).float()
#: Loss above the floor of a Gaussian of deviation 1 where every pixel is wrong by a half.
HALF_WRONG = PIXELS / 8


class Painter(torch.nn.Module):
    """Paints every pixel with the grey value that a function gives the latents."""

    def __init__(self, grey: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.grey = grey

    def encode(self, images: torch.Tensor, u: torch.Tensor) -> Encoding:
        raise NotImplementedError

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.grey(latents).view(-1, 1, 1, 1).expand(-1, 1, 32, 32)

    def losses(self, images: torch.Tensor, u: torch.Tensor, noise: torch.Generator) -> Losses:
        raise NotImplementedError


def subset(u: torch.Tensor | None = None) -> EvaluationSubset:
    images = (255 * WHITE).byte().view(N, 1, 1, 1).repeat(1, 1, 32, 32)
    return evaluation_subset(Inputs(images, torch.empty(N, 0).byte() if u is None else u), SPEC)


def decoder(
    grey: Callable[[torch.Tensor], torch.Tensor],
    mean: torch.Tensor,
    log_var: torch.Tensor | None = None,
    of: EvaluationSubset | None = None,
) -> Decoder:
    return Decoder.of(
        Painter(grey), Encoding(mean, log_var), of or subset(), SPEC.model.likelihood
    )


def columns(*latents: torch.Tensor) -> torch.Tensor:
    return torch.stack(latents, dim=1)


ZERO = torch.zeros(N)


def test_a_latent_that_the_decoder_follows_is_used_and_carries_all() -> None:
    painter = decoder(lambda z: z[:, 0], columns(WHITE, 1 - WHITE, ZERO))

    found = painter.decoding([0])

    # Its mean is a half: every pixel is then wrong by a half.
    assert found.usage_nats == pytest.approx((HALF_WRONG, 0, 0), abs=1e-9)
    assert (found.explained.part, found.explained.se) == (1.0, 0.0)
    assert found.carried_by_actives == 1.0
    assert found.explained_by_prior is None
    assert painter.decoding([1, 2]).carried_by_actives == 0.0


def test_a_latent_that_does_not_vary_is_not_used_however_much_weight_it_has() -> None:
    painter = decoder(lambda z: z[:, 0] + 5 * z[:, 2] - 5, columns(WHITE, ZERO, ZERO + 1))

    assert painter.decoding([0]).usage_nats[2] == 0


def test_two_latents_that_share_the_work_are_used_each_alone() -> None:
    painter = decoder(
        lambda z: (z[:, 0] - z[:, 1] + z[:, 2]) / 2, columns(WHITE, 1 - WHITE, ZERO + 1)
    )

    found = painter.decoding([0])

    # Each alone moves every pixel by a quarter; both together, by a half.
    assert found.usage_nats == pytest.approx((HALF_WRONG / 4, HALF_WRONG / 4, 0), abs=1e-9)
    assert found.carried_by_actives == pytest.approx(0.75, rel=1e-12)
    assert painter.keep_curve([0, 1, 2]) == pytest.approx([0.0, 0.75, 1.0, 1.0], abs=1e-12)


def test_worse_than_the_mean_image_is_negative() -> None:
    # Paints negatives: grey is better.
    found = decoder(lambda z: 1 - z[:, 0], columns(WHITE, ZERO, ZERO)).decoding([0])

    assert found.explained.part == pytest.approx(-3.0, rel=1e-12)
    assert found.usage_nats[0] == pytest.approx(-3 * HALF_WRONG, rel=1e-12)
    assert found.carried_by_actives == 0.0
    assert found.explains_nothing


def test_information_in_the_variance_alone_is_seen_by_samples_and_not_by_means() -> None:
    # White images have a narrow posterior and black ones a wide one, both around 0. The audit saw
    # such a latent in an iVAE with a fixed prior: R was negative by means, and 0.46 by samples.
    mean, log_var = columns(ZERO, ZERO, ZERO), columns(6 - 12 * WHITE, ZERO, ZERO)

    def is_near_0(z: torch.Tensor) -> torch.Tensor:
        return (z[:, 0].abs() < 1).float()

    by_samples = decoder(is_near_0, mean, log_var).decoding([0])
    by_means = decoder(is_near_0, mean).decoding([0])

    # A Gaussian of std 20 is within 1 of 0 in 4 % of all draws, each of which costs all gain.
    assert by_samples.explained.part == pytest.approx(1 - 4 * 0.02, abs=0.08)
    assert by_means.explained.part == pytest.approx(-1.0, rel=1e-12)
    assert by_samples.usage_nats[0] > HALF_WRONG


def test_what_u_says_is_not_the_work_of_a_latent() -> None:
    u = torch.eye(2).byte()[WHITE.long()]
    mean = columns(WHITE, ZERO, ZERO)

    given_u = decoder(lambda z: z[:, 0], mean, of=subset(u)).decoding([0])
    without = decoder(lambda z: z[:, 0], mean).decoding([0])

    # The images with the same u are alike, and half of a mean over all, 0.5, is one of N / 2.
    wrong = 0.5 / 2 / (N / 2)
    assert given_u.usage_nats == pytest.approx((PIXELS * wrong**2 / 2, 0.0, 0.0), rel=1e-5)
    assert without.usage_nats[0] == pytest.approx(HALF_WRONG, rel=1e-12)


def test_the_prior_of_an_ivae_is_decoded_by_samples_too() -> None:
    u = torch.eye(2).byte()[torch.arange(N) // 2 % 2]  # says nothing about black and white
    mean = columns(WHITE, ZERO, ZERO)
    log_var = torch.full((N, 3), -40.0)
    encoding = Encoding(mean, log_var, prior_mean=mean / 2 + 0.25, prior_log_var=log_var)

    found = Decoder.of(
        Painter(lambda z: z[:, 0]), encoding, subset(u), SPEC.model.likelihood
    ).decoding([0])

    # The prior's pixels are wrong by a quarter, and those that the group says by a half and a
    # little, because half of the image itself counts as 0.5 there.
    wrong = 0.5 + 0.5 / 2 / (N / 2)
    assert found.explained.part == pytest.approx(1.0, rel=1e-6)
    assert found.explained_by_prior == pytest.approx(1 - (0.25 / wrong) ** 2, rel=1e-6)


def test_the_loss_is_the_mean_over_four_draws_of_the_same_noise() -> None:
    mean, log_var = columns(WHITE, ZERO, ZERO), torch.zeros(N, 3)

    one, other = (decoder(lambda z: z[:, 0], mean, log_var) for _ in range(2))

    assert len(one.samples) == 4
    by_draw = [one.losses(draw[None]) for draw in one.samples]
    assert one.losses(one.samples) == pytest.approx(sum(by_draw) / 4, rel=1e-12)
    assert one.decoding([0]) == other.decoding([0])
    # A variance of 1 costs half a nat a pixel.
    floor = PIXELS * math.log(math.sqrt(2 * math.pi))
    gain = one.decoding([0]).reconstruction_nats - floor
    assert gain == pytest.approx(PIXELS / 2, rel=0.15)  # 800 squares: three errors of 5 %


def test_a_deterministic_model_has_no_noise() -> None:
    painter = decoder(lambda z: z[:, 0], columns(WHITE, ZERO, ZERO))

    assert len(painter.samples) == 1
    assert torch.equal(painter.samples[0], columns(WHITE, ZERO, ZERO))


def test_usage_is_measured_on_the_first_half_of_the_images() -> None:
    # The first image is black, the second white: without the latent black costs a half, and white
    # nothing.
    painter = Decoder.of(
        Painter(lambda z: (2 * z[:, 0]).clamp(max=1)),
        Encoding(columns(WHITE, ZERO, ZERO)),
        subset(),
        SPEC.model.likelihood,
        at_most=2,
    )

    assert len(painter.subset.inputs) == 2
    assert painter.decoding([0]).usage_nats[0] == pytest.approx(4 * HALF_WRONG, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "images"), [(1, 64), (125, 64), (500, 256), (1000, 512), (10**6, 512)]
)
def test_early_evaluations_decode_fewer_images(step: int, images: int) -> None:
    assert images_decoded(step) == images


def test_an_evaluation_decodes_each_set_of_latents_once() -> None:
    passed: list[int] = []

    def grey(z: torch.Tensor) -> torch.Tensor:
        passed.append(len(z))
        return z[:, 0]

    mean, log_var = columns(WHITE, ZERO, ZERO), torch.zeros(N, 3)

    decoder(grey, mean, log_var).decoding([0])
    some = sum(passed)
    passed.clear()
    decoder(grey, mean, log_var).decoding([0, 1, 2])

    # Four draws; the actives alone; a single image for none of them; each latent replaced.
    assert some == 4 * N + N + 1 + 3 * N
    assert sum(passed) == 4 * N + 1 + 3 * N


def test_a_model_that_is_not_finite_has_diverged() -> None:
    painter = decoder(lambda z: z[:, 0] * math.nan, columns(WHITE, ZERO, ZERO))

    with pytest.raises(Diverged, match="the loss of an image is not finite"):
        painter.decoding([0])
    with pytest.raises(Diverged, match="the loss of an image is not finite"):
        painter.explained()


def test_a_latent_without_which_nothing_is_finite_has_diverged() -> None:
    def grey(z: torch.Tensor) -> torch.Tensor:
        return torch.where((z[:, 1] == 0.5) & (z[:, 0] != 0.5), math.inf, z[:, 0])

    painter = decoder(grey, columns(WHITE, WHITE, ZERO))

    with pytest.raises(Diverged, match="usage cannot be measured: the losses rise by"):
        painter.decoding([0, 1])
