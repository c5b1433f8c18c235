"""What a trained model draws: reconstructions, what each latent does, and samples of the prior.

Each is a table with a row for each picture: its bytes are in `pixels`, row by row of `channels` x
`side` x `side` values from 0 to 255. `polar.figures.drawings` puts them on paper.
"""

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from polar.models import Autoencoder, Encoding
from polar.models.likelihood import pixel_means
from polar.regime.codes import Codes
from polar.spec import ExperimentSpec
from polar.training.subset import BATCH, EvaluationSubset

#: Images beside their reconstructions, and samples of the prior. All are chosen by us.
RECONSTRUCTED, SAMPLED = 10, 40
#: Where on the distribution of its means a latent is put.
QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


def drawings(
    model: Autoencoder,
    encoding: Encoding,
    codes: Codes,
    subset: EvaluationSubset,
    spec: ExperimentSpec,
) -> dict[str, pd.DataFrame]:
    """The tables of what a model draws. Call it where the model is `measured`.

    Args:
        model: The model after its last step.
        encoding: The encodings of the subset.
        codes: The same as arrays.
        subset: The images that the model was evaluated on.
        spec: The spec of the run, whose likelihood's mean is drawn, and whose seed is that of the
            samples.

    Returns:
        `reconstructions` (`image`, `kind`: original or reconstruction of its mean code),
        `traversals` (`latent`, `quantile`, `value` in units of the latent; all other latents as
        the first image has them), and for a model with a prior `prior_samples` (`sample`).
    """

    def drawn(latents: Float[Tensor, "n m"]) -> UInt8[np.ndarray, "n c side side"]:
        batches = [model.decode(batch) for batch in torch.split(latents, BATCH)]
        means = pixel_means(spec.model.likelihood, torch.cat(batches)).clamp(0, 1)
        return (means * 255).round().to(torch.uint8).cpu().contiguous().numpy()

    some = encoding.mean[:RECONSTRUCTED]
    originals = subset.inputs.images[: len(some)].cpu().contiguous().numpy()
    images = np.arange(len(some))
    pairs = [
        _table(originals, image=images, kind="original"),
        _table(drawn(some), image=images, kind="reconstruction"),
    ]
    m = encoding.mean.shape[1]
    values = np.quantile(codes.mean, QUANTILES, axis=0)  # quantiles x m
    walks = encoding.mean[:1].repeat(m * len(QUANTILES), 1)
    latents = np.repeat(np.arange(m), len(QUANTILES))
    put = torch.from_numpy(values.T.reshape(-1)).to(walks)
    walks[torch.arange(len(walks)), torch.from_numpy(latents)] = put
    walked = _table(
        drawn(walks), latent=latents, quantile=np.tile(QUANTILES, m), value=values.T.reshape(-1)
    )
    tables = {"reconstructions": pd.concat(pairs, ignore_index=True), "traversals": walked}
    if encoding.log_var is not None:
        samples = drawn(_prior_samples(encoding, spec.seeds[0]))
        tables["prior_samples"] = _table(samples, sample=np.arange(len(samples)))
    return tables


def _prior_samples(encoding: Encoding, seed: int) -> Float[Tensor, "samples m"]:
    """Samples of N(0, 1), or for an iVAE of the priors that the u of the first images have."""
    m = encoding.mean.shape[1]
    noise = torch.randn(SAMPLED, m, generator=torch.Generator().manual_seed(seed))
    noise = noise.to(encoding.mean)
    if encoding.prior_mean is None:
        return noise
    few = encoding.prior_mean[:SAMPLED]
    noise = noise[: len(few)]
    if encoding.prior_log_var is None:
        return few + noise
    return few + noise * (encoding.prior_log_var[:SAMPLED] / 2).exp()


def _table(
    pictures: UInt8[np.ndarray, "n c side side"], **columns: np.ndarray | str
) -> pd.DataFrame:
    _, channels, side, _ = pictures.shape
    return pd.DataFrame(
        {
            **columns,
            "channels": channels,
            "side": side,
            "pixels": [picture.tobytes() for picture in pictures],
        }
    )
