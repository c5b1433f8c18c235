"""Stored JSON outlives the code that wrote it, so every piece carries the number of its form.

A column of the type `StoredJson` writes that number beside the content, and gives readers the
newest form, whatever the row has. A change that present code cannot read any more takes one more
upgrade, which makes the next form from the one before, and a file of the old form for its test.
What was stored before forms had numbers is of the first.
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

from polar.records.record import Record
from polar.spec import ExperimentSpec, StudySpec
from polar.spec.submitted import SubmittedSpec
from service.storage.errors import EarlierVersion

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=SubmittedSpec)

#: A piece of stored JSON. Raw, because an earlier version may have stored what the models of this
#: one refuse; whoever needs more than to hand it on reads it into its model.
Content = dict[str, Any]

#: Where the number stands; no content has a field of this name.
NUMBER = "form"


@dataclass(frozen=True)
class Form:
    """One kind of stored JSON."""

    name: str
    #: The first makes the second form from the first, and so on.
    upgrades: tuple[Callable[[Content], Content], ...] = ()

    def numbered(self, content: Mapping[str, Any]) -> Content:
        """The content with the number of the newest form, as it is stored."""
        return {**content, NUMBER: len(self.upgrades) + 1}

    def newest(self, stored: object) -> Content:
        """The content in its newest form, or as it is where that cannot be made of it.

        Whoever reads what is no content of this form says that it cannot be read; here it must
        not keep the rest of its row, and the rows beside it, from being read.
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
    """Until other models came, both were in nats and had that in their names."""
    names = {"loss_nats": "loss", "kl_nats": "penalty"}
    return {names.get(name, name): value for name, value in progress.items()}


def _judged_entropies(evaluation: Content) -> Content:
    """Until there was an iVAE, latents were judged by the entropy of their mean."""
    latents = [
        {"judged_entropy_nats": latent["entropy_nats"], **latent}
        for latent in evaluation["latents"]
    ]
    return {**evaluation, "latents": latents}


def _summarised(result: Content) -> Content:
    """Until results had a summary, entropy was the only criterion, and datasets had no notes."""
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
    """Until trials kept the measures of each seed, only the means were there: they stand in."""
    regimes = measured.get("regimes", ())
    # Postgres gives a mean such as 1e38 back as a whole number.
    means = {name: mean for name, mean in measured.items() if not isinstance(mean, list)}
    return {"of_seeds": [means for _ in regimes], "observations": [], **measured}


def _with_all_fields(found: Content) -> Content:
    """Until all ranges had the same fields, a study of several fields stored few of them."""
    if found["outcome"] != "not_one_field":
        return found
    nothing: Content = {
        "intervals": [],
        "envelope": None,
        "converged": None,
        "disagreeing": [],
        "weights": 0,
        "trainings": 0,
    }
    return {**nothing, **found}


EXPERIMENT_SPEC = Form("spec of an experiment")
STUDY_SPEC = Form("spec of a study")
STARTED = Form("start")
PROGRESS = Form("progress", (_renamed_losses,))
EVALUATION = Form("evaluation", (_judged_entropies,))
RESULT = Form("result", (_summarised,))
MEASURED = Form("measures of a trial", (_with_seeds,))
RANGE = Form("range", (_with_all_fields,))


class StoredJson(TypeDecorator[Content]):
    """JSON of one form: readers get the newest, writers store it with its number."""

    impl = JSONB
    cache_ok = True

    def __init__(self, form: Form) -> None:
        super().__init__(none_as_null=True)
        self.form = form

    def coerce_compared_value(self, op: OperatorType | None, value: object) -> TypeEngine[Any]:
        """A value that a part of the content is compared with carries no number."""
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
    #: The first thing that is wrong with it, and where.
    fault: str


class StoredRecord(TypeDecorator[R | Unreadable], Generic[R]):
    """A record as JSON of one form; readers get `Unreadable` where it cannot be made of it.

    It is not an error, so that the rest of the row, and the rows beside it, can still be read.
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
        """The record that was stored in any form, or why there is none."""
        try:
            return self.kind.model_validate(self.form.newest(stored))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            return Unreadable(stored, f"/{'/'.join(map(str, first['loc']))}: {first['msg']}")


def experiment_spec(stored: Content) -> ExperimentSpec:
    """The spec of an experiment or of a run.

    Raises:
        EarlierVersion: it was accepted by a version that allowed more.
    """
    return _valid(ExperimentSpec, stored, EXPERIMENT_SPEC)


def study_spec(stored: Content) -> StudySpec:
    """The spec of a study.

    Raises:
        EarlierVersion: it was accepted by a version that allowed more.
    """
    return _valid(StudySpec, stored, STUDY_SPEC)


def _valid(kind: type[S], stored: Content, form: Form) -> S:
    try:
        return kind.model_validate(stored)
    except ValidationError as error:
        faults = "; ".join(map(str, kind.faults_of(error)))
        raise EarlierVersion(
            f"the {form.name} is of an earlier version, and this one cannot use it: {faults}"
        ) from error
