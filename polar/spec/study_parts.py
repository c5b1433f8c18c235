"""Parts of a study's spec: which trainings are stopped, when it ends, which band it is about."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from polar.spec.fields import INTEGRAL, MOST_INTEGER, Integer, SpecPart
from polar.spec.training import MOST_STEPS

PrunerName: TypeAlias = Literal["none", "collapse", "median", "successive_halving", "hyperband"]

#: What makes a latent space belong to the band: being clean, or being polarised by P
#: (from 0.5 on) while the model explains something.
Of: TypeAlias = Literal["clean", "polarised"]

MOST_TRIALS = 10_000
#: Most hours of a budget: a million years; Python's `timedelta` cannot exceed 2.7 million.
MOST_HOURS = 8.766e9
# Bounds of a field that may be null are lost to the JSON schema unless they are in its type.
_AllSteps: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=MOST_INTEGER), INTEGRAL]
_Steps: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=MOST_STEPS), INTEGRAL]


class Pruner(SpecPart):
    """Which trainings are stopped before their end.

    All pruners but `none` stop a run whose verdict after the warm-up is `collapsed`, and take that
    as the verdict of the whole run. In a search for the weight they let it train on where a model
    of an earlier trial shows that total collapse is not the optimum. All but `none` and `collapse`
    also stop a trial whose objectives are worse at a step than those of other trials; of several
    objectives, each must be worse. Which trials these stop depends on which trainings come first,
    so that such a study may differ from one time to the next; all other studies have the same
    trials each time.
    """

    name: PrunerName = "none"
    #: Share of the training, from its start, in which nothing is stopped: early collapses recover.
    warm_up: float = Field(0.25, strict=True, gt=0, lt=1)

    @property
    def compares(self) -> bool:
        """Whether the pruner stops trials that are worse than others."""
        return self.name not in ("none", "collapse")


class Budget(SpecPart):
    """When a study ends: after its trials, its steps or its hours, whichever comes first."""

    #: Number of completed trials; failed trials do not count. Without a limit if `steps` alone is
    #: given. The default suffices for the range of one seed; over several seeds it takes twice as
    #: many.
    trials: Integer = Field(16, ge=1, le=MOST_TRIALS)
    #: Training steps of all trials together from which on no trial begins; those of failed trials
    #: do not count.
    steps: _AllSteps | None = None
    #: Hours after the start of the first trial from which on no trial begins. How many trials
    #: begin before then depends on the machines.
    hours: float | None = Field(None, strict=True, gt=0, le=MOST_HOURS)

    @model_validator(mode="before")
    @classmethod
    def _steps_alone_limit_no_trials(cls, data: Any) -> Any:  # noqa: ANN401
        if isinstance(data, Mapping) and data.get("steps") is not None and "trials" not in data:
            return {**data, "trials": MOST_TRIALS}
        return data


class BandSpec(SpecPart):
    """The band that a study's range is about, and how long trainings may become to find it."""

    #: The spaces inside the band: clean, or polarised by P (from 0.5 on) while the model explains
    #: something. A space that breaks a constraint of the study is not inside.
    of: Of = "clean"
    #: The sampler `range` may double the number of steps of its trainings up to this; None keeps
    #: it at `base.training.steps`.
    max_steps: _Steps | None = None
    #: Whether the sampler `range`, once the edges from scratch are known, also trains on from
    #: inside the band at weights beyond them, to see how far the band is held. They go on from the
    #: end of all steps, which trainings that end once they have settled do not have.
    held: bool = Field(False, strict=True)
