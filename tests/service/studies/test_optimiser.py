"""Optuna's part of a study, here in memory."""

from uuid import UUID

import optuna
import pytest
from optuna.trial import FrozenTrial

from polar.spec import StudySpec
from service.storage.states import TrialState
from service.studies.judging import TrialOutcome
from service.studies.optimiser import Optimiser, study_name

SPEC = StudySpec.from_yaml(
    """
    base: {dataset: {name: digits}, model: {name: beta_vae}}
    objectives: [{measure: n_active}]
    search: {model.beta: {log_uniform: [0.1, 10]}}
    sampler: random
    """
)
STUDY_ID = UUID(int=1)


@pytest.fixture
def storage() -> optuna.storages.BaseStorage:
    return optuna.storages.InMemoryStorage()


def test_reports_are_stored_once_and_only_of_trials_in_flight(
    storage: optuna.storages.BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimiser = Optimiser(storage, STUDY_ID, SPEC)
    points = [optimiser.ask([], numbers, question="").point for numbers in ([], [0])]
    optimiser.tell(0, TrialOutcome(TrialState.COMPLETED, [1.0]), {})
    reads = []
    read = Optimiser._trials

    def noted(self: Optimiser) -> list[FrozenTrial]:
        reads.append(self)
        return read(self)

    monkeypatch.setattr(Optimiser, "_trials", noted)

    again = Optimiser(storage, STUDY_ID, SPEC)
    again.report({(0, 10): 3.0, (1, 10): 4.0, (1, 20): 5.0})
    again.report({(1, 20): 6.0, (1, 30): 7.0})

    ended, in_flight = optuna.load_study(
        storage=storage, study_name=study_name(STUDY_ID, SPEC)
    ).trials
    assert points[0] != points[1]
    assert ended.intermediate_values == {}
    assert in_flight.intermediate_values == {10: 4.0, 20: 5.0, 30: 7.0}
    assert len(reads) == 2  # reading them costs as much as storing a dozen reports
