"""The forms of stored JSON. JSON outlives the code that wrote it, so its form is numbered.

A column of type `StoredJson` writes the number of the form along with the content, and gives
readers the newest form, whatever the row contains. Whoever changes a form so that present code can
no longer read the old one adds an upgrade, which turns the previous form into the new one, and a
file in the old form for its test. JSON that was stored before forms had numbers is of form 1.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from sqlalchemy import Dialect, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine

from polar.records.ranges import Interval
from polar.records.record import Record
from polar.spec import ExperimentSpec, StudySpec
from polar.spec.submitted import SubmittedSpec
from polar.spec.training import DEFAULT_RENYI_ALPHA, DEFAULT_SIGMA, DEFAULT_TAU_STD
from service.storage.errors import EarlierVersion

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=SubmittedSpec)

#: A piece of stored JSON. It is raw, because an earlier version may have stored something that the
#: models of this version refuse. Code that does more than pass it on reads it into its model.
Content = dict[str, Any]

#: The tau that was the default while tau was set in nats.
DEFAULT_TAU_NATS = 0.25

#: The key of the form's number; no content has a field of this name.
NUMBER = "form"


@dataclass(frozen=True)
class Form:
    """One kind of stored JSON."""

    name: str
    #: Upgrade k, counted from 1, turns form k into form k + 1.
    upgrades: tuple[Callable[[Content], Content], ...] = ()

    def numbered(self, content: Mapping[str, Any]) -> Content:
        """The content as it is stored: with the number of the newest form."""
        return {**content, NUMBER: len(self.upgrades) + 1}

    def newest(self, stored: object) -> Content:
        """The content in its newest form, or as it is if it cannot be upgraded.

        Content that is not of this form raises no error here, because the rest of its row and the
        other rows must stay readable. The code that reads the content reports the fault.
        """
        if not isinstance(stored, Mapping):
            return {"unreadable": stored}
        content = dict(stored)
        number = content.pop(NUMBER, 1)
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            for upgrade in self.upgrades[max(number, 1) - 1 :]:
                content = upgrade(content)
        return content


def _renamed_losses(progress: Content) -> Content:
    """Rename losses, which had nats in their names until models with other units came."""
    names = {"loss_nats": "loss", "kl_nats": "penalty"}
    return {names.get(name, name): value for name, value in progress.items()}


def _judged_entropies(evaluation: Content) -> Content:
    """Add judged entropies: before there was an iVAE, the mean's entropy judged every latent."""
    latents = [
        {"judged_entropy_nats": latent["entropy_nats"], **latent}
        for latent in evaluation["latents"]
    ]
    return {**evaluation, "latents": latents}


def _summarised(result: Content) -> Content:
    """Add summary and note: entropy used to be the only criterion, and datasets had no notes."""
    final = _judged_entropies(result["final"])
    summary = {
        "n_active": {"entropy": final["verdict"]["n_active"]},
        "n_mixed": None,
        "usage_auc": {},
        "dip_p_value": None,
        "attempted_actives": None,
        "learning_order": None,
        "downstream_gain": {},
    }
    return {"summary": summary, "dataset_note": "", **result, "final": final}


def _with_seeds(measured: Content) -> Content:
    """Add measures of each seed; the means stand in, because only they were kept at first."""
    regimes = measured.get("regimes", ())
    # Means are recognised by not being lists: Postgres returns a mean such as 1e38 as an integer.
    means = {name: mean for name, mean in measured.items() if not isinstance(mean, list)}
    return {"of_seeds": [means for _ in regimes], "observations": [], **measured}


def _without_old_verdicts(measured: Content) -> Content:
    """Leave out what earlier verdicts said of settling and of the range, by other rules."""
    rest = {name: value for name, value in measured.items() if name != "converged"}
    return {**rest, "settled": [None for _ in measured["regimes"]], "observations": []}


def _with_all_fields(range_: Content) -> Content:
    """Add the fields that the range of a study without a single swept field used to lack."""
    if range_["outcome"] != "not_one_field":
        return range_
    nothing: Content = {
        "intervals": [],
        "envelope": None,
        "converged": None,
        "disagreeing": [],
        "weights": 0,
        "trainings": 0,
    }
    return {**nothing, **range_}


def _judged_by_decoder(evaluation: Content) -> Content:
    """Add what verdicts say since they go by what the decoder does, as far as it is known.

    The verdict was the paper's, and stays the regime. All numbers that it lacks are null, because
    nobody measured them.
    """
    verdict = {
        "flaws": [],
        "paper_regime": evaluation["verdict"]["regime"],
        "tau_std": None,
        "gap_factor": None,
        "explained_se": None,
        "explained_by_prior": None,
        "explains_nothing": None,
        "sufficiency": None,
        "n_idle": None,
        "settled": None,
        **evaluation["verdict"],
    }
    verdict.pop("no_reconstruction_gain", None)
    return {**evaluation, "verdict": verdict}


def _settled(result: Content) -> Content:
    """Replace `converged`, which was a weaker rule than `settled`: only its no still holds."""
    unknown: Content = {"rise_of_explained": None, "held_out": None, "loss_terms": None}
    new = {**unknown, **result, "labels_changed": None}
    has_converged = new.pop("converged")
    return {
        **new,
        "settled": None if has_converged else False,
        "final": _judged_by_decoder(result["final"]),
    }


def _with_ruler(spec: Content) -> Content:
    """Name the ruler and the share of held-out images, and give tau as a standard deviation.

    Entropies were those of the codes as they are, except relative to a conditional prior, and all
    images were trained on. A tau or a rule that was not the default stays in place, and the spec
    is refused: this version has no field that means the same.
    """
    diagnostics = {**spec["diagnostics"]}
    diagnostics.pop("evaluations", None)
    if diagnostics.get("tau_rule") == "fixed":
        del diagnostics["tau_rule"]
    kernel = (diagnostics["tau"], diagnostics["sigma"], diagnostics["renyi_alpha"])
    if kernel == (DEFAULT_TAU_NATS, DEFAULT_SIGMA, DEFAULT_RENYI_ALPHA):
        del diagnostics["tau"]
        diagnostics["tau_std"] = DEFAULT_TAU_STD
    is_relative = spec["model"]["name"] == "ivae"
    return {
        **spec,
        "training": {"held_out": 0, **spec["training"]},
        "diagnostics": {"ruler": "scaled" if is_relative else "absolute", **diagnostics},
    }


def _with_ruler_of_base(spec: Content) -> Content:
    """Change the base as an experiment; the band that was searched was the polarised one."""
    return {"range": {"of": "polarised"}, **spec, "base": _with_ruler(spec["base"])}


def _of_the_paper(range_: Content) -> Content:
    """Say of an earlier range what it was of; nothing is known of other budgets than its own."""
    rest = {name: value for name, value in range_.items() if name != "converged"}
    # `converged` was a weaker rule, so that only its no still holds
    settled = False if range_["converged"] is False else None
    envelope = range_["envelope"] and Interval.model_validate(range_["envelope"])
    found = "no polarised band found"
    if range_["outcome"] == "not_one_field":
        found = "nothing was searched"
    elif envelope:
        found = f"polarised from {envelope.words()}"
    headline = f"By the rules of an earlier version: {found} ({range_['steps']:,} steps)."
    return {"of": "polarised", "by_steps": [], "headline": headline, **rest, "settled": settled}


EXPERIMENT_SPEC = Form("spec of an experiment", (_with_ruler,))
STUDY_SPEC = Form("spec of a study", (_with_ruler_of_base,))
STARTED = Form("start")
PROGRESS = Form("progress", (_renamed_losses,))
EVALUATION = Form("evaluation", (_judged_entropies, _judged_by_decoder))
RESULT = Form("result", (_summarised, _settled))
MEASURED = Form("measures of a trial", (_with_seeds, _without_old_verdicts))
RANGE = Form("range", (_with_all_fields, _of_the_paper))


class StoredJson(TypeDecorator[Content]):
    """JSON of one kind: readers get its newest form; writers store the form's number with it."""

    impl = JSONB
    cache_ok = True

    def __init__(self, form: Form) -> None:
        super().__init__(none_as_null=True)
        self.form = form

    def coerce_compared_value(self, op: OperatorType | None, value: object) -> TypeEngine[Any]:
        """Compare parts of the content as plain JSON: such values carry no number of a form."""
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(
        self,
        value: Content | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> Content | None:
        return None if value is None else self.form.numbered(value)

    def process_result_value(
        self,
        value: Content | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> Content | None:
        return None if value is None else self.form.newest(value)


@dataclass(frozen=True)
class Unreadable:
    """Stored JSON that this version cannot read as the record that it should be."""

    stored: object
    #: The first fault of the JSON, and where it is.
    fault: str


class StoredRecord(TypeDecorator[R | Unreadable], Generic[R]):
    """A record stored as JSON; readers get `Unreadable` where the JSON is not such a record.

    Unreadable JSON raises no error, so that the rest of the row and the other rows can be read.
    """

    impl = JSONB
    cache_ok = True

    def __init__(self, form: Form, kind: type[R]) -> None:
        super().__init__(none_as_null=True)
        self.form = form
        self.kind = kind

    def process_bind_param(
        self,
        value: R | Unreadable | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> object:
        if isinstance(value, Unreadable):
            return value.stored
        return None if value is None else self.form.numbered(value.model_dump(mode="json"))

    def process_result_value(
        self,
        value: object,
        dialect: Dialect,  # noqa: ARG002
    ) -> R | Unreadable | None:
        return None if value is None else self.read(value)

    def read(self, stored: object) -> R | Unreadable:
        """The record that was stored in any form, or why it cannot be read."""
        try:
            return self.kind.model_validate(self.form.newest(stored))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            return Unreadable(stored, f"/{'/'.join(map(str, first['loc']))}: {first['msg']}")


def experiment_spec(stored: Content) -> ExperimentSpec:
    """The spec of an experiment or of a run.

    Raises:
        EarlierVersion: the spec was accepted by a version that allowed more.
    """
    return _valid(ExperimentSpec, stored, EXPERIMENT_SPEC)


def study_spec(stored: Content) -> StudySpec:
    """The spec of a study.

    Raises:
        EarlierVersion: the spec was accepted by a version that allowed more.
    """
    return _valid(StudySpec, stored, STUDY_SPEC)


def _valid(kind: type[S], stored: Content, form: Form) -> S:
    try:
        return kind.model_validate(stored)
    except ValidationError as error:
        faults = "; ".join(map(str, kind.faults_of(error)))
        raise EarlierVersion(
            f"the {form.name} is of an earlier version, and this version cannot use it: {faults}"
        ) from error
