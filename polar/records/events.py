"""What a run tells while it goes: records that cross process boundaries as JSON lines."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from polar.records.latents import LatentDiagnostics, Verdict
from polar.records.record import Record


class Progress(Record):
    """Where training stands; losses are means over the steps since the last report."""

    event: Literal["progress"] = "progress"
    step: int
    steps: int
    epoch: float
    #: What is minimised, in the model's own unit.
    loss: float
    #: Summed over pixels, per image.
    reconstruction_nats: float
    #: What the weight multiplies: the KL in nats, the volume, or the squared codes; 0 without one.
    penalty: float
    images_per_s: float
    eta_s: float

    def scalars(self) -> dict[str, float]:
        """The numbers that are worth a curve, by metric name."""
        return {
            "train/loss": self.loss,
            "train/reconstruction_nats": self.reconstruction_nats,
            "train/penalty": self.penalty,
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
        entropies = [latent.judged_entropy_nats for latent in self.latents]
        divergences = [latent.kl_nats for latent in self.latents if latent.kl_nats is not None]
        verdict = self.verdict
        measured = {
            "eval/kl_nats": sum(divergences) if divergences else None,
            "regime/margin_nats": verdict.margin_nats,
            "regime/explained": verdict.explained,
            "regime/clean_polarisation": verdict.clean_polarisation,
        }
        return {
            "eval/reconstruction_nats": self.reconstruction_nats,
            "latent/n_active": float(verdict.n_active),
            "latent/n_passive": float(verdict.n_passive),
            "latent/entropy_mean_nats": sum(entropies) / len(entropies),
            "latent/entropy_max_nats": max(entropies),
            "regime/polarisation": verdict.polarisation,
            **{name: value for name, value in measured.items() if value is not None},
        }

    def entropies_by_rank(self) -> list[float]:
        """The judged entropies in descending order, nats: the paper's sorted plots."""
        return sorted((latent.judged_entropy_nats for latent in self.latents), reverse=True)


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


class Summary(Record):
    """What was found out at the end of a run beyond its verdict, in a few numbers."""

    #: Latents that each criterion calls active, by its name; only those that apply to the model.
    n_active: dict[str, int]
    #: Latents that the two signals call mixed; none for a deterministic autoencoder.
    n_mixed: int | None
    #: How well each criterion's score tells the latents that the decoder uses, 0 to 1; only
    #: where it is defined.
    usage_auc: dict[str, float]
    #: Of Hartigan's dip of the entropies; small where there are two groups. None for few latents.
    dip_p_value: float | None
    #: Latents that became active and collapsed again; none where nobody counted them.
    attempted_actives: int | None
    #: Kendall's tau-b of being learned early and being used, -1 to 1; none where undefined.
    learning_order: float | None
    #: Accuracy on all latents - on the actives, by factor and `mean`; empty without the task.
    downstream_gain: dict[str, float]

    def scalars(self) -> dict[str, float]:
        """By metric name, as far as they are defined."""
        numbers = {
            "latent/n_mixed": self.n_mixed,
            "latent/attempted_actives": self.attempted_actives,
            "regime/dip_p_value": self.dip_p_value,
            "usage/learning_order": self.learning_order,
            **{f"criteria/n_active_{name}": count for name, count in self.n_active.items()},
            **{f"usage/auc_{name}": auc for name, auc in self.usage_auc.items()},
            **{f"downstream/gain_{name}": gain for name, gain in self.downstream_gain.items()},
        }
        return {name: float(number) for name, number in numbers.items() if number is not None}


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
    summary: Summary
    #: About the dataset, such as that it stands in for another one; empty for none.
    dataset_note: str
    #: Why the verdict is what it is, with the gap between the groups, in one paragraph.
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
