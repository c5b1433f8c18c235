"""The beta-VAE of the paper, brought as a user's own model, is trained to the same bits."""

import torch
from pydantic import BaseModel
from torch import nn

import polar
from polar.models import Encoding, Losses, Sizes
from polar.models.beta_vae import BetaVAE
from polar.records.events import Evaluation, Result
from polar.spec import BetaVAESpec, ExperimentSpec

WIDTHS, BETA = [4, 4, 4, 4, 4], 2.0


class Own(nn.Module):
    """Our beta-VAE behind the interface of users' models."""

    class Fields(BaseModel):
        widths: tuple[int, int, int, int, int]

    def __init__(self, fields: Fields, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        spec = BetaVAESpec(
            latent_dim=sizes.latent_dim, widths=fields.widths, likelihood=sizes.likelihood
        )
        self.ours = BetaVAE(spec, sizes.shape, generator)

    def encode(self, images: torch.Tensor, u: torch.Tensor) -> Encoding:
        return self.ours.encode(images, u)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.ours.decode(latents)

    def losses(self, images: torch.Tensor, u: torch.Tensor, noise: torch.Generator) -> Losses:
        return self.ours.losses(images, u, noise)


def trained(**model: object) -> tuple[list[Evaluation], Result]:
    content = {
        "dataset": {"name": "digits", "images": 120},
        "model": {"latent_dim": 4, **model},
        "training": {"steps": 30, "batch_size": 20, "weight_warm_up": {"fraction": 0.5}},
        "diagnostics": {"images": 60},
    }
    *events, result = polar.run(ExperimentSpec.model_validate(content))
    assert isinstance(result, Result)
    return [event for event in events if isinstance(event, Evaluation)], result


def test_an_own_model_is_trained_and_measured_as_ours_is() -> None:
    ours, result = trained(name="beta_vae", beta=BETA, widths=WIDTHS)
    own, own_result = trained(
        name="own", weight=BETA, fields={"widths": WIDTHS}, **{"class": f"{__name__}:Own"}
    )

    assert len(own) > 3
    assert own == ours
    assert own_result.final == result.final
    assert own_result.held_out == result.held_out
