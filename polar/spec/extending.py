"""Studies that are extended: by seeds, and by trainings that go on for more steps."""

from collections.abc import Sequence

from polar.errors import InvalidInput
from polar.spec.course import longer
from polar.spec.points import STEPS
from polar.spec.study import StudySpec


def extended(study: StudySpec, seeds: Sequence[int], training_steps: int | None) -> StudySpec:
    """A study as it was submitted, with what it was extended by.

    Args:
        study: The study as it was submitted.
        seeds: All seeds of the extended study.
        training_steps: Number of steps to which its trainings were extended; None if they were
            not.
    """
    with_all = study.with_seeds(seeds)
    return with_all if training_steps is None else with_longer_trainings(with_all, training_steps)


def with_longer_trainings(study: StudySpec, training_steps: int) -> StudySpec:
    """The same study with trainings of more steps, of the same courses.

    Trainings that end when they have settled still do. A range is searched with trainings of these
    steps at once, not first with the shorter trainings, which it has had.

    Args:
        study: The study.
        training_steps: Number of steps of a training.

    Raises:
        InvalidInput: the study searches the number of steps, trains as long already, or cannot
            have trainings of so many steps.
    """
    if STEPS in study.search:
        raise InvalidInput(f"it searches {STEPS}; allowed: studies of other fields")
    if training_steps <= study.most_steps:
        raise InvalidInput(
            f"training_steps is {training_steps}; allowed: more than {study.most_steps}"
        )
    content = study.model_dump(mode="json")
    content["base"] = longer(study.base, training_steps).model_dump(mode="json")
    content["range"]["max_steps"] = None
    return StudySpec.from_content(content)
