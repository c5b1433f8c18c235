"""What a run tells while it goes: plain records that cross process boundaries as JSON lines.

Imports no torch and no numpy: the agent that reads these has neither. Every number is finite.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Record(BaseModel):
    """Base of all records: frozen, complete, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Label(StrEnum):
    """What one criterion says of one latent."""

    ACTIVE = "active"
    PASSIVE = "passive"


class Regime(StrEnum):
    """What a whole latent space does."""

    #: No latent is active.
    COLLAPSED = "collapsed"
    #: No latent is passive.
    UNDER_REGULARISED = "under_regularised"
    #: Both kinds exist, clearly apart: polarisation of at least 0.5.
    POLARISED = "polarised"
    #: Both kinds exist, not yet apart.
    FORMING = "forming"


class LatentDiagnostics(Record):
    """The measures of one latent at one evaluation; n is the number of images evaluated."""

    latent: int
    #: Matrix-based Renyi entropy of the mean representation, 0 to ln n.
    entropy_nats: float
    #: The entropy is within this of its definition.
    entropy_error_bound_nats: float
    #: Entropy / ln n, 0 to 1.
    entropy_relative: float
    #: Standard deviation of the Gaussian that has this entropy.
    equivalent_std: float
    mean_of_mean: float
    var_of_mean: float
    mean_of_variance: float
    var_of_variance: float
    #: KL(q(z_j|x) || N(0, 1)), mean over images: the sum of the next two.
    kl_nats: float
    kl_mean_part_nats: float
    kl_variance_part_nats: float
    label: Label


class Verdict(Record):
    """Whether a latent space is polarised, and by how much."""

    regime: Regime
    #: Threshold on the entropy: active above, passive at or below.
    tau_nats: float
    n_active: int
    n_passive: int
    #: (mean H of the actives - mean H of the passives) / max H, 0 to 1; 0 when a side is empty.
    polarisation: float
    #: Least entropy of an active - largest of a passive; none when a side is empty.
    margin_nats: float | None
    #: Part of the explainable reconstruction loss that decoding the mean explains, 0 to 1.
    explained: float
    #: polarisation * explained.
    clean_polarisation: float
    #: Explained is below 0.02: the decoder draws the mean image.
    no_reconstruction_gain: bool


class Progress(Record):
    """Where training stands; losses are means over the steps since the last report."""

    event: Literal["progress"] = "progress"
    step: int
    steps: int
    epoch: float
    #: Reconstruction + weight * KL, nats per image.
    loss_nats: float
    reconstruction_nats: float
    #: Summed over latents, per image.
    kl_nats: float
    images_per_s: float
    eta_s: float

    def scalars(self) -> dict[str, float]:
        """The numbers that are worth a curve, by metric name."""
        return {
            "train/loss_nats": self.loss_nats,
            "train/reconstruction_nats": self.reconstruction_nats,
            "train/kl_nats": self.kl_nats,
        }


class Evaluation(Record):
    """One measurement of the whole latent space on the fixed evaluation subset."""

    event: Literal["evaluation"] = "evaluation"
    step: int
    epoch: float
    #: Reconstruction loss of decoding the mean, nats per image.
    reconstruction_nats: float
    latents: tuple[LatentDiagnostics, ...]
    verdict: Verdict

    def scalars(self) -> dict[str, float]:
        """The few numbers that are worth a curve, by metric name."""
        entropies = [latent.entropy_nats for latent in self.latents]
        verdict = self.verdict
        margin = {} if verdict.margin_nats is None else {"regime/margin_nats": verdict.margin_nats}
        return {
            "eval/reconstruction_nats": self.reconstruction_nats,
            "eval/kl_nats": sum(latent.kl_nats for latent in self.latents),
            "latent/n_active": float(verdict.n_active),
            "latent/n_passive": float(verdict.n_passive),
            "latent/entropy_mean_nats": sum(entropies) / len(entropies),
            "latent/entropy_max_nats": max(entropies),
            "regime/polarisation": verdict.polarisation,
            "regime/explained": verdict.explained,
            "regime/clean_polarisation": verdict.clean_polarisation,
            **margin,
        }

    def entropies_by_rank(self) -> list[float]:
        """The entropies in descending order, nats: the paper's sorted plots."""
        return sorted((latent.entropy_nats for latent in self.latents), reverse=True)


class Started(Record):
    """A run has loaded its data and built its model."""

    event: Literal["started"] = "started"
    #: Step it goes on from; 0 for a fresh start.
    step: int
    steps: int
    device: str
    images: int
    images_evaluated: int
    dataset_digest: str
    parameters: int


class CheckpointSaved(Record):
    """A checkpoint is complete on disk."""

    event: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str


class ArtifactSaved(Record):
    """A file of the result is complete on disk."""

    event: Literal["artifact"] = "artifact"
    #: Name relative to the output folder, such as `figures/sorted_entropies.png`.
    name: str
    path: str


class Result(Record):
    """The end of a run: its last evaluation, in words and numbers."""

    event: Literal["result"] = "result"
    spec_hash: str
    science_version: int
    seed: int
    steps: int
    dataset_digest: str
    images: int
    images_evaluated: int
    final: Evaluation
    #: Over the last fifth of the steps no label changed and no entropy moved by over 0.1 nats.
    converged: bool
    #: Largest move of an entropy over the last fifth of the steps.
    largest_move_nats: float
    labels_changed: int
    #: Why the verdict is what it is, with the margin, in one paragraph.
    explanation: str


Event = Annotated[
    Started | Progress | Evaluation | CheckpointSaved | ArtifactSaved | Result,
    Field(discriminator="event"),
]

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def to_line(event: Event) -> str:
    """One event as one line of JSON, without the line break."""
    return event.model_dump_json()


def from_line(line: str | bytes) -> Event:
    """The event that `to_line` wrote.

    Raises:
        pydantic.ValidationError: the line is not an event.
    """
    return _EVENT.validate_json(line)
