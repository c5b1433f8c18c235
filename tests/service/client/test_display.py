"""What a notebook shows of a study."""

from typing import Any
from uuid import UUID

import pytest

from service.api.studies.schemas import StudyView, TrialView
from service.client.display import of_study


@pytest.mark.parametrize(("sampler", "shows"), [("tpe", True), ("range", False)])
def test_a_study_that_seeks_a_range_shows_no_best_trial(sampler: str, shows: bool) -> None:
    of_trial: dict[str, Any] = dict.fromkeys(TrialView.model_fields)
    best = TrialView.model_construct(**{**of_trial, "point": {"model.beta": 4.0}})
    known = {"id": UUID(int=1), "spec": {"sampler": sampler}, "best": best, "links": {}}
    fields: dict[str, Any] = dict.fromkeys(StudyView.model_fields) | known

    shown = of_study("mine", StudyView.model_construct(**fields))

    assert ("model.beta = 4.0" in shown) is shows
