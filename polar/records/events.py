"""Events: records that a run reports while it goes on, as JSON lines across process boundaries."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from polar.records.certificates import LossTerms
from polar.records.latents import LatentDiagnostics, Verdict
from polar.records.record import Record
from polar.records.sensitivity import Sensitivity

#: The file of a run's folder that is written last, with the content of `Result`.
RESULT_FILE = "result.json"
#: The file of a run's folder from which another run goes on, for more steps or at another weight.
LAST_STATE_FILE = "last_state.pt"
#: The file of a run's folder with its trained model, for everybody.
MODEL_FILE = "model.safetensors"
#: The file of a run's folder with a row for each latent at each evaluation.
DIAGNOSTICS_FILE = "diagnostics.parquet"
#: What the findings of a run add to its `Result`; the rest is known at the end of the run.
OF_FINDINGS = frozenset({"held_out", "summary", "explanation", "sensitivity"})


class Progress(Record):
    """How far training has come; losses are means over the steps since the last report."""

    event: Literal["progress"] = "progress"
    step: int
    steps: int
    epoch: float
    #: The loss that is minimised, in the model's own unit.
    loss: float
    #: Reconstruction loss, nats per image, summed over pixels.
    reconstruction_nats: float
    #: The term that the model's weight multiplies: the KL divergence in nats, the volume, or the
    #: squared codes; 0 without a weight.
    penalty: float
    images_per_s: float
    eta_s: float

    def scalars(self) -> dict[str, float]:
        """The numbers that are tracked as curves, by metric name."""
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
    #: Reconstruction loss by 4 samples of each posterior, or by the codes of a deterministic
    #: autoencoder, nats per image.
    reconstruction_nats: float
    latents: tuple[LatentDiagnostics, ...]
    verdict: Verdict

    def scalars(self) -> dict[str, float]:
        """The few numbers that are tracked as curves, by metric name."""
        entropies = [latent.judged_entropy_nats for latent in self.latents]
        divergences = [latent.kl_nats for latent in self.latents if latent.kl_nats is not None]
        verdict = self.verdict
        measured = {
            "eval/kl_nats": sum(divergences) if divergences else None,
            "regime/margin_nats": verdict.margin_nats,
            "regime/explained": verdict.explained,
            "regime/clean_polarisation": verdict.clean_polarisation,
            "regime/gap_factor": verdict.gap_factor,
            "regime/sufficiency": verdict.sufficiency,
            "latent/n_idle": verdict.n_idle,
        }
        return {
            "eval/reconstruction_nats": self.reconstruction_nats,
            "latent/n_active": float(verdict.n_active),
            "latent/n_passive": float(verdict.n_passive),
            "latent/entropy_mean_nats": sum(entropies) / len(entropies),
            "latent/entropy_max_nats": max(entropies),
            "regime/polarisation": verdict.polarisation,
            **{name: float(value) for name, value in measured.items() if value is not None},
        }

    def entropies_by_rank(self) -> list[float]:
        """The judged entropies in descending order, nats, as in the paper's sorted plots."""
        return sorted((latent.judged_entropy_nats for latent in self.latents), reverse=True)


class Started(Record):
    """A run has loaded its data and built its model."""

    event: Literal["started"] = "started"
    #: The step from which the run goes on; 0 for a fresh start.
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


class HeldOut(Record):
    """What the model does with images that training never saw."""

    #: Number of images of the entropies, which are compared with those of as many images of
    #: training, because the entropy of fewer images is smaller.
    images: int
    #: R on images that training never saw, and its standard error.
    explained: float
    explained_se: float
    #: Judged entropy of each latent on these images, in nats, in the unit of those on the images
    #: of training.
    entropies_nats: tuple[float, ...]
    #: Judged entropy of each latent on as many images of training, in nats; none in runs that were
    #: stored before these were kept.
    training_entropies_nats: tuple[float, ...] | None = None
    #: Largest difference between the two entropies of a latent, in nats.
    largest_difference_nats: float


class Summary(Record):
    """The few numbers that summarise the end of a run, besides its verdict."""

    #: Number of latents that each criterion calls active, by the criterion's name; only criteria
    #: that apply to the model.
    n_active: dict[str, int]
    #: Number of latents that the two signals call mixed; none for a deterministic autoencoder.
    n_mixed: int | None
    #: Probability that a latent that the decoder uses has a larger score than an unused latent, by
    #: the name of the criterion that gives the score; only where it is defined.
    usage_auc: dict[str, float]
    #: p-value of Hartigan's dip of the entropies, small where there are two groups; none for few
    #: latents.
    dip_p_value: float | None
    #: Number of latents that became active and collapsed again; none if they were not counted.
    attempted_actives: int | None
    #: Kendall's tau-b between being learned early and being used, -1 to 1; none where undefined.
    learning_order: float | None
    #: Accuracy on all latents minus accuracy on the active latents, by factor and as `mean`; empty
    #: without the downstream task.
    downstream_gain: dict[str, float]

    def scalars(self) -> dict[str, float]:
        """The numbers that are defined, by metric name."""
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
    """The result of a run: its last evaluation, and what it means in words and numbers.

    The verdict is known when training ends. The findings complete it afterwards: until then there
    is no summary, no sensitivity and nothing about held-out images, and the explanation is short.
    In results of science version 2 and earlier, what was not measured is none.
    """

    event: Literal["result"] = "result"
    spec_hash: str
    science_version: int
    seed: int
    steps: int
    dataset_digest: str
    images: int
    images_evaluated: int
    final: Evaluation
    #: Whether labels stood still over the last 40 % of the steps, with no idle latent, and
    #: entropies and R over the last fifth. Earlier versions asked for less; what they called
    #: settled is none, what they did not is false.
    settled: bool | None
    #: Largest move of an entropy, and largest change of R up to its final value, over the last
    #: fifth of the steps; the change is negative where R fell.
    largest_move_nats: float
    rise_of_explained: float | None
    #: Number of labels that changed over the last 40 % of the steps.
    labels_changed: int | None
    #: None where no images were held out, and until the findings are made.
    held_out: HeldOut | None
    #: What the model pays at any weight; none for a model without a weight.
    loss_terms: LossTerms | None
    #: None until the findings are made.
    summary: Summary | None
    #: A remark on the dataset, such as that it stands in for another dataset; empty without one.
    dataset_note: str
    #: A paragraph on why the verdict is what it is, with the gap between the groups; the findings
    #: add how far it can be trusted.
    explanation: str
    #: The verdict under other choices of kernel, images, threshold and ruler. None until the
    #: findings are made, and in results of earlier versions.
    sensitivity: tuple[Sensitivity, ...] | None = None

    def differences(self, other: "Result") -> list[str]:
        """The names of what another result says otherwise, besides what findings add."""
        return [
            name
            for name in type(self).model_fields
            if name not in OF_FINDINGS and getattr(self, name) != getattr(other, name)
        ]


Event = Annotated[
    Started | Progress | Evaluation | CheckpointSaved | ArtifactSaved | Result,
    Field(discriminator="event"),
]

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def to_line(event: Event) -> str:
    """The event as one line of JSON, without the line break."""
    return event.model_dump_json()


def from_line(line: str | bytes) -> Event:
    """The event that `to_line` wrote.

    Raises:
        pydantic.ValidationError: the line is not an event.
    """
    return _EVENT.validate_json(line)
