"""Optuna, as the broker uses it: it is asked for a point, and told how the point's trial ended.

All memory is in Optuna's database.
"""

import contextlib
import itertools
import logging
import math
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState
from pydantic import ValidationError

from polar.spec import Axis, StudySpec
from polar.spec.points import Point
from service.storage import states
from service.studies.judging import TrialOutcome
from service.studies.samplers import sampler

#: Number of useless proposals in a row after which a space counts as exhausted.
MOST_DRAWS = 50

#: Where a useless proposal says which question it answered.
QUESTION = "question"

#: Optuna's name for each state in which a trial ends.
OPTUNA_STATES = {
    states.TrialState.COMPLETED: TrialState.COMPLETE,
    states.TrialState.PRUNED: TrialState.PRUNED,
    states.TrialState.FAILED: TrialState.FAIL,
    states.TrialState.CANCELLED: TrialState.FAIL,
    # A newer trial with more seeds or steps has replaced it, for which Optuna has no state.
    states.TrialState.SUPERSEDED: TrialState.COMPLETE,
}

optuna.logging.set_verbosity(logging.WARNING)


class Exhausted(Exception):
    """The sampler proposes no point that is new and makes a valid experiment."""


@dataclass(frozen=True)
class Asked:
    """A new trial that Optuna was asked for."""

    number: int
    #: The value of every swept field, by its dotted name.
    point: Point


class Optimiser:
    """The Optuna study that belongs to a study; made anew for every step that needs it."""

    def __init__(self, storage: BaseStorage, study_id: UUID, spec: StudySpec) -> None:
        self._spec = spec
        self._storage = storage
        self._study = _study(storage, study_name(study_id, spec), spec)
        if not self._study.user_attrs:
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                self._study.set_metric_names([objective.measure for objective in spec.objectives])
            self._study.set_user_attr("study_id", str(study_id))

    def ask(
        self,
        points: Collection[Point],
        numbers: Collection[int],
        chosen: Point | None = None,
        *,
        question: str,
    ) -> Asked:
        """Ask for a trial, at a point of the sampler's or at the point that was chosen already.

        A trial that Optuna knows and our tables do not, because the broker was killed between the
        two, is returned first.

        The trial's point has a value for every swept field, or for the names of the chosen point.

        Args:
            points: The points that must not be tried again.
            numbers: The numbers of all trials in our tables.
            chosen: The point to try next; None lets the sampler choose a new point.
            question: What tells this question from others. Useless proposals are counted for each
                question, so that a broker that is started anew and asks again draws no more.

        Raises:
            Exhausted: the sampler has no new point.
        """
        axes, swept = self._spec.axes, self._spec.swept.values()
        if chosen is None and not any(axis.is_continuous for axis in swept):
            size = math.prod(axis.size or 1 for axis in swept)
            if _count_distinct(points) >= size:
                raise Exhausted("every point was tried")
        for _ in range(self._useless(question), MOST_DRAWS):
            trial = self._not_stored(numbers) or self._new(points, chosen)
            fixed = self._trials()[trial.number].system_attrs.get("fixed_params", axes)
            point = {name: suggest(trial, name, axes[name]) for name in axes if name in fixed}
            is_tried = point in points
            if not is_tried and _is_possible(self._spec, point):
                return Asked(trial.number, point)
            trial.set_user_attr("status_reason", "duplicate" if is_tried else "impossible")
            trial.set_user_attr(QUESTION, question)
            self._study.tell(trial, state=TrialState.FAIL)
        raise Exhausted(
            f"{MOST_DRAWS} proposals in a row were tried before or made no valid experiment"
        )

    def report(self, values: Mapping[tuple[int, int], float]) -> None:
        """Store the objectives of trials in flight, by number and step, where they are missing."""
        trials = self._trials()
        for (number, step), value in values.items():
            frozen = trials[number]
            if not frozen.state.is_finished() and step not in frozen.intermediate_values:
                # `Trial.report` does the same, but reads the whole trial twice for it.
                self._storage.set_trial_intermediate_value(frozen._trial_id, step, value)

    def untold(self) -> set[int]:
        """The numbers of the trials whose ends Optuna does not know."""
        return {frozen.number for frozen in self._trials() if not frozen.state.is_finished()}

    def tell(
        self, number: int, outcome: TrialOutcome, attributes: Mapping[str, str | None]
    ) -> None:
        """Store how a trial ended, which Optuna must not know yet."""
        frozen = self._trials()[number]
        self._study.sampler = sampler(self._spec, len(self._trials()))
        trial = Trial(self._study, frozen._trial_id)  # as Optuna's own tell does
        measured = outcome.measured.model_dump(mode="json") if outcome.measured else {}
        for name, value in {**measured, **attributes}.items():
            if value is not None:
                trial.set_user_attr(name, value)
        for name, violation in outcome.violations.items():
            trial.set_constraint(name, violation)
        self._study.tell(trial, outcome.values, state=OPTUNA_STATES[outcome.state])

    def _new(self, points: Collection[Point], point: Point | None) -> Trial:
        if point is None and self._spec.sampler == "grid":
            point = _untried(self._spec, points)
        if point is not None and not self._is_waiting(point):
            self._study.enqueue_trial(dict(point))
        self._study.sampler = sampler(self._spec, len(self._trials()))
        return self._study.ask()

    def _useless(self, question: str) -> int:
        """How many proposals in answer to a question were useless."""
        return sum(
            frozen.state is TrialState.FAIL and frozen.user_attrs.get(QUESTION) == question
            for frozen in self._trials()
        )

    def _is_waiting(self, point: Point) -> bool:
        """Whether a broker that was killed before it could ask has enqueued this point already."""
        waiting = (trial for trial in self._trials() if trial.state is TrialState.WAITING)
        return any(trial.system_attrs["fixed_params"] == point for trial in waiting)

    def _not_stored(self, numbers: Collection[int]) -> Trial | None:
        """A trial that Optuna has and our tables lack, because a broker was killed in between."""
        for frozen in self._trials():
            if frozen.state is TrialState.RUNNING and frozen.number not in numbers:
                self._study.sampler = sampler(self._spec, frozen.number)
                return Trial(self._study, frozen._trial_id)
        return None

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


def _study(storage: BaseStorage, name: str, spec: StudySpec) -> optuna.Study:
    """The study of this name, which is made if there is none."""
    try:
        return optuna.load_study(storage=storage, study_name=name)
    except KeyError:
        return optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[objective.direction for objective in spec.objectives],
            load_if_exists=True,
        )


def _untried(spec: StudySpec, points: Collection[Point]) -> Point:
    """The first point of the grid that has not been tried."""
    axes = spec.swept
    for values in itertools.product(*(axis.grid for axis in axes.values())):
        point = dict(zip(axes, values, strict=True))
        if point not in points and _is_possible(spec, point):
            return point
    raise Exhausted("every point of the grid was tried")


def _is_possible(spec: StudySpec, point: Point) -> bool:
    """Whether a point makes an experiment: fields that fit the base may not fit each other."""
    try:
        spec.experiment(point)
    except ValidationError:
        return False
    return True


def _count_distinct(points: Collection[Point]) -> int:
    return len({tuple(sorted(point.items())) for point in points})


def study_name(study_id: UUID, spec: StudySpec) -> str:
    """The name of a study in Optuna and its dashboard."""
    return f"{spec.name} {study_id}".strip()


def forget_study(storage: BaseStorage, study_id: UUID) -> None:
    """Delete the Optuna study of a deleted study, which had any name, or none yet."""
    for name in optuna.get_all_study_names(storage):
        if name.endswith(str(study_id)):
            with contextlib.suppress(KeyError):  # it has just been deleted
                optuna.delete_study(study_name=name, storage=storage)


def suggest(trial: BaseTrial, name: str, axis: Axis) -> Any:  # noqa: ANN401
    """Let Optuna choose a value on an axis, which each kind of axis maps to a suggestion."""
    if axis.log_uniform is not None:
        return trial.suggest_float(name, *axis.log_uniform, log=True)
    if axis.uniform is not None:
        return trial.suggest_float(name, *axis.uniform)
    if axis.integer is not None:
        return trial.suggest_int(name, *axis.integer)
    return trial.suggest_categorical(name, axis.grid)
