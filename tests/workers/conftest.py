"""Real agents, whose child only pretends to train: it is quick, and fails in all ways."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from polar.spec import ExperimentSpec

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.processes import Stage

HERE = Path(__file__).parent


@pytest.fixture
def stage(stage: "Stage", spec_of: "SpecFor", reports: "Reports") -> "Stage":
    """Agents with the pretending child."""
    stage.environment["MADE_UP_RESULT"] = reports.result(spec_of()).model_dump_json()
    stage.program = [str(HERE / "agent_with_other_child.py")]
    stage.environment["CHILD"] = json.dumps([sys.executable, str(HERE / "pretending_child.py")])
    return stage


SpecFor = Callable[..., ExperimentSpec]


@pytest.fixture
def spec_of() -> SpecFor:
    """The spec of a run that fares as its name says."""

    def make(
        fate: str = "", *, steps: int = 20, checkpoint_every: int = 5, latents: int = 1
    ) -> ExperimentSpec:
        return ExperimentSpec.model_validate(
            {
                "name": fate,
                "dataset": {"name": "digits"},
                "model": {"latent_dim": latents},
                "training": {"steps": steps, "checkpoint_every": checkpoint_every},
            }
        )

    return make
