"""The verdict on a latent space under other choices of kernel, images, threshold and ruler."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

from polar.entropy import renyi_entropy
from polar.entropy.gaussian import equivalent_std
from polar.records.latents import Label, LatentDiagnostics, LatentMeasures, Verdict
from polar.records.sensitivity import Sensitivity, Variant, flips
from polar.regime.codes import Codes
from polar.regime.decoding import Decoding
from polar.regime.threshold import tau_in_nats
from polar.regime.verdict import judge, labelled
from polar.spec.training import DEFAULT_RENYI_ALPHA, Ruler

#: The order that a variant takes. Chosen by us, because it is the order most used besides 1, and
#: the entropy is then minus the logarithm of the mean square of the kernel.
OTHER_ORDER = 2.0

#: What the decoder makes of the latents, given which of them are active.
Decode: TypeAlias = Callable[[tuple[int, ...]], Decoding]


@dataclass(frozen=True)
class Choices:
    """The choices by which a verdict is measured."""

    images: int
    ruler: Ruler
    #: Kernel width of the entropies, in units of the ruler, and their order.
    sigma: float
    renyi_alpha: float
    #: The threshold, in units of the ruler.
    tau_std: float

    def under(self, variant: Variant) -> "Choices":
        """The same choices, except for what the variant changes."""
        order = DEFAULT_RENYI_ALPHA if self.renyi_alpha == OTHER_ORDER else OTHER_ORDER
        other_ruler: Ruler = "scaled" if self.ruler == "absolute" else "absolute"
        return {
            Variant.AS_MEASURED: self,
            Variant.HALF_WIDTH: replace(self, sigma=self.sigma / 2),
            Variant.DOUBLE_WIDTH: replace(self, sigma=self.sigma * 2),
            Variant.HALF_IMAGES: replace(self, images=(self.images + 1) // 2),
            Variant.OTHER_ORDER: replace(self, renyi_alpha=order),
            Variant.HALF_TAU: replace(self, tau_std=self.tau_std / 2),
            Variant.DOUBLE_TAU: replace(self, tau_std=self.tau_std * 2),
            Variant.OTHER_RULER: replace(self, ruler=other_ruler),
        }[variant]


def sensitivity(
    codes: Codes,
    latents: Sequence[LatentDiagnostics],
    verdict: Verdict,
    *,
    ruler: Ruler,
    sigma: float,
    renyi_alpha: float,
    tau_std: float,
    decode: Decode | None = None,
) -> tuple[Sensitivity, ...]:
    """The verdict as measured, and then under every variant.

    R, usage and whether training has settled stay as they are. What the active latents carry of R
    is decoded once for each set of them.

    Args:
        codes: All codes that were measured.
        latents: Their latents as they were labelled.
        verdict: The verdict on them.
        ruler: The unit of the entropies that the verdict goes by.
        sigma: Their kernel width, in units of the ruler.
        renyi_alpha: Their order.
        tau_std: The threshold that the verdict goes by, in units of the ruler.
        decode: Decodes for a set of active latents; none for bare codes.
    """
    as_measured = Choices(len(codes.mean), ruler, sigma, renyi_alpha, tau_std)
    usage = [latent.usage_nats for latent in latents if latent.usage_nats is not None] or None

    @cache
    def measured(
        images: int, ruler: Ruler, sigma: float, renyi_alpha: float
    ) -> list[LatentMeasures]:
        mean = codes.first(images).in_units_of(ruler).mean
        entropies = renyi_entropy(mean, sigma=sigma, alpha=renyi_alpha).nats.tolist()
        stds = [equivalent_std(nats, sigma=sigma, alpha=renyi_alpha) for nats in entropies]
        return [
            _measured_again(latent, nats, std)
            for latent, nats, std in zip(latents, entropies, stds, strict=True)
        ]

    decoded = None if decode is None else cache(decode)

    def under(variant: Variant) -> Sensitivity:
        choices = as_measured.under(variant)
        n, kernel = choices.images, (choices.sigma, choices.renyi_alpha)
        tau_nats = tau_in_nats(choices.tau_std, n=n, sigma=kernel[0], renyi_alpha=kernel[1])
        labelled_again = labelled(measured(n, choices.ruler, *kernel), tau_nats, usage)
        actives = tuple(latent.latent for latent in labelled_again if latent.label is Label.ACTIVE)
        judged = judge(
            labelled_again,
            tau_std=choices.tau_std,
            tau_nats=tau_nats,
            decoding=None if decoded is None else decoded(actives),
            settled=verdict.settled,
        )
        return Sensitivity(
            variant=variant,
            **vars(choices),
            regime=judged.regime,
            flaws=judged.flaws,
            n_active=judged.n_active,
            polarisation=judged.polarisation,
            gap_factor=judged.gap_factor,
        )

    return tuple(under(variant) for variant in Variant)


def explain_sensitivity(rows: Sequence[Sensitivity]) -> str:
    """Under which variants the verdict stands and under which it does not, in a few sentences.

    Args:
        rows: What `sensitivity` returned.
    """
    as_measured, *others, other_ruler = rows
    flipped = flips(rows)
    standing = [other for other in others if other not in flipped]
    sentences = []
    if flipped:
        cases = "; ".join(f"under {_words(other)} {_would_be(other)}" for other in flipped)
        sentences.append(f"The verdict is fragile: {cases}.")
    if standing:
        counts = sorted({other.n_active for other in (as_measured, *standing)})
        active = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        sentences.append(
            f"The verdict stands under {', '.join(map(_words, standing))}, with {active} active."
        )
    sentences.append(f"By {_words(other_ruler)} {_would_be(other_ruler)}.")
    return " ".join(sentences)


def _measured_again(latent: LatentMeasures, nats: float, std: float) -> LatentMeasures:
    """The measures of a latent with another judged entropy, and without a label."""
    measures = {name: getattr(latent, name) for name in LatentMeasures.model_fields}
    return LatentMeasures(**measures | {"judged_entropy_nats": nats, "equivalent_std": std})


def _would_be(other: Sensitivity) -> str:
    flaws = f" ({', '.join(other.flaws)})" if other.flaws else ""
    regime = other.regime.replace("_", "-")
    return f"the space would be {regime}{flaws}, with {other.n_active} active"


def _words(other: Sensitivity) -> str:
    return {
        Variant.AS_MEASURED: "the same choices",
        Variant.HALF_WIDTH: "half the kernel width",
        Variant.DOUBLE_WIDTH: "twice the kernel width",
        Variant.HALF_IMAGES: "half of the images",
        Variant.OTHER_ORDER: f"order {other.renyi_alpha:g}",
        Variant.HALF_TAU: "half of tau",
        Variant.DOUBLE_TAU: "twice tau",
        Variant.OTHER_RULER: f"the {other.ruler} ruler",
    }[other.variant]
