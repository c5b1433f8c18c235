"""Which experiments, runs and studies a list has: conditions on their rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, tuple_, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute

from polar.spec import MODELS
from service.storage.states import RunState, StudyState
from service.storage.study_tables import Study, Trial
from service.storage.tables import Experiment, ExperimentRun, Run

S = TypeVar("S", bound=Select[*tuple[Any, ...]])
W = TypeVar("W")
Kind = type[Experiment] | type[Run] | type[Study]
#: The key and the value of a tag; with None the value does not matter.
Tag = tuple[str, str | None]

#: The states of runs of which the first that an experiment's runs have is the experiment's; the
#: last is also the state of an experiment without runs.
BY_RANK = (
    RunState.RUNNING,
    RunState.QUEUED,
    RunState.FAILED,
    RunState.CANCELLED,
    RunState.PRUNED,
    RunState.SUCCEEDED,
)


@dataclass(frozen=True)
class Wanted:
    """What every row of a list has; what is empty does not matter.

    A run is also taken by the names, notes and tags of the experiments that have it, and an
    experiment by those of the study whose trial it is: each word and each tag by any of them.
    """

    state: RunState | StudyState | None = None
    #: The whole name of the row itself.
    own_name: str = ""
    #: Words that the names contain, in any order and case.
    name: str = ""
    #: Words that the names or the notes contain.
    text: str = ""
    #: The name of a published dataset, or that under which images were added.
    dataset: str = ""
    #: The name of a kind of model, or the class of an own model.
    model: str = ""
    tags: tuple[Tag, ...] = ()


EVERYTHING = Wanted()


def newest_first(
    rows: S, kind: Kind, wanted: Wanted, size: int, after: tuple[datetime, UUID] | None = None
) -> S:
    """Up to `size` of these rows of a table that are wanted, newest first, after this place."""
    query = (
        rows.where(*conditions(kind, wanted))
        .order_by(kind.created_at.desc(), kind.id.desc())
        .limit(size)
    )
    return query if after is None else query.where(tuple_(kind.created_at, kind.id) < after)


def conditions(kind: Kind, wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    """The conditions on the rows of this table, all of which hold for those that are wanted."""
    if wanted.state is not None:
        if issubclass(kind, Experiment):
            yield _experiment_is(RunState(wanted.state))
        else:
            yield kind.state == wanted.state
    if wanted.own_name:
        yield kind.name == wanted.own_name
    for word in wanted.name.split():
        yield _anyone_says(_is_named, kind, word)
    for word in wanted.text.split():
        yield _anyone_says(_is_described, kind, word)
    if wanted.dataset:
        yield dataset_of(kind) == wanted.dataset
    if wanted.model:
        yield model_of(kind) == wanted.model
    for tag in wanted.tags:
        yield _anyone_says(_is_tagged, kind, tag)


def _anyone_says(
    says: Callable[[Kind, W], ColumnElement[bool]], kind: Kind, what: W
) -> ColumnElement[bool]:
    """Whether a row says this, or an experiment that has this run, or the study of its trial."""
    if kind is Run:
        its = exists().where(
            ExperimentRun.run_id == Run.id,
            Experiment.id == ExperimentRun.experiment_id,
            _anyone_says(says, Experiment, what),
        )
    elif kind is Experiment:
        its = exists().where(
            Trial.experiment_id == Experiment.id,
            Study.id == Trial.study_id,
            says(Study, what),
        )
    else:
        return says(kind, what)
    return or_(says(kind, what), its)


def _is_named(kind: Kind, word: str) -> ColumnElement[bool]:
    return _contains(kind.name, word)


def _is_described(kind: Kind, word: str) -> ColumnElement[bool]:
    return or_(_contains(kind.name, word), _contains(kind.note, word))


def _is_tagged(kind: Kind, tag: Tag) -> ColumnElement[bool]:
    key, value = tag
    return kind.tags.has_key(key) if value is None else kind.tags.contains({key: value})


def dataset_of(kind: Kind) -> ColumnElement[str]:
    """The name of a published dataset, or that under which images were added."""
    dataset = _spec_of_one(kind)["dataset"]
    return func.coalesce(dataset["added"].as_string(), dataset["name"].as_string())


def model_of(kind: Kind) -> ColumnElement[str]:
    """The name of a kind of model, or the class of an own model."""
    model = _spec_of_one(kind)["model"]
    return func.coalesce(model["class"].as_string(), model["name"].as_string())


def weight_name_of(kind: Kind) -> ColumnElement[str | None]:
    """What the weight of the model is called, such as `beta`; null if it has none."""
    names = {name: model.weight_name for name, model in MODELS.items() if model.weight_name}
    return case(names, value=_spec_of_one(kind)["model"]["name"].as_string())


def weight_of(kind: Kind) -> ColumnElement[float | None]:
    model = _spec_of_one(kind)["model"]
    weight: ColumnElement[float | None] = model[weight_name_of(kind)].as_float()
    return weight


def steps_of(kind: Kind) -> ColumnElement[int | None]:
    """The number of steps that the spec asks for."""
    steps: ColumnElement[int | None] = _spec_of_one(kind)["training"]["steps"].as_integer()
    return steps


def _spec_of_one(kind: Kind) -> ColumnElement[Any]:
    spec = type_coerce(kind.spec, JSONB)
    return spec["base"] if kind is Study else spec


def _contains(column: InstrumentedAttribute[str], word: str) -> ColumnElement[bool]:
    # the collation of our own server, C, knows the case of A to Z alone
    return column.collate("pg_c_utf8").icontains(word, autoescape=True)


def _experiment_is(state: RunState) -> ColumnElement[bool]:
    """Whether `experiments.state_of` says so of an experiment."""
    rank = BY_RANK.index(state)
    is_by_runs = and_(
        *(~_has_run(earlier) for earlier in BY_RANK[:rank]),
        *([_has_run(state)] if state is not RunState.SUCCEEDED else []),
    )
    is_cancelled = Experiment.cancelled_at.is_not(None)
    if state is RunState.CANCELLED:
        return or_(is_cancelled, is_by_runs)
    return and_(~is_cancelled, is_by_runs)


def _has_run(state: RunState) -> ColumnElement[bool]:
    return exists().where(
        ExperimentRun.experiment_id == Experiment.id,
        Run.id == ExperimentRun.run_id,
        Run.state == state,
    )
