"""What a phase diagram shows, gathered from a study and its trials."""

from typing import Any

import pytest

from polar.errors import InvalidInput
from polar.spec import StudySpec
from service.api.studies.phases import phases_of

FOUND: dict[str, Any] = {"seeds": [4, 7], "steps": 30, "outcome": "no_band"}


def study(model: str = "beta_vae", **axes: Any) -> StudySpec:  # noqa: ANN401
    return StudySpec.model_validate(
        {
            "base": {
                "dataset": {"name": "digits"},
                "model": {"name": model},
                "training": {"steps": 30},
                "seeds": [4],
            },
            "search": {f"model.{name}": axis for name, axis in axes.items()},
            "sampler": "random",
        }
    )


def measured(*regimes: str, **others: Any) -> dict[str, Any]:  # noqa: ANN401
    observations = [
        {"regime": regime, "n_active": place, "converged": place == 0, "weakest_std": 0.1}
        for place, regime in enumerate(regimes)
    ]
    return {"observations": observations, "polarisation": 0.5, "explained": 0.75, **others}


BETA = study(beta={"log_uniform": [0.1, 10.0]})


def test_each_seed_of_each_trial_is_a_training() -> None:
    of_seeds = [{"polarisation": 0.9, "explained": 0.8}, {"polarisation": 0.1, "explained": 0.7}]
    trial = ({"model.beta": 2.0}, measured("polarised", "forming", of_seeds=of_seeds))

    phases = phases_of(BETA, FOUND, [trial])

    first, second = phases.trainings
    assert first.model_dump() == {
        "model": "beta_vae",
        "dataset": "digits",
        "field": "model.beta",
        "steps": 30,
        "weight": 2.0,
        "seed": 4,
        "regime": "polarised",
        "n_active": 0,
        "polarisation": 0.9,
        "explained": 0.8,
        "converged": True,
    }
    assert (second.seed, second.regime, second.n_active, second.converged) == (
        7,
        "forming",
        1,
        False,
    )
    assert (second.polarisation, second.explained) == (0.1, 0.7)
    assert (phases.ends, phases.range) == ((0.1, 10.0), FOUND)


def test_a_trial_that_has_means_only_gives_them_to_each_seed() -> None:
    phases = phases_of(BETA, FOUND, [({"model.beta": 2.0}, measured("polarised", "forming"))])

    assert [training.polarisation for training in phases.trainings] == [0.5, 0.5]


def test_a_trial_from_before_there_were_more_seeds_has_fewer() -> None:
    phases = phases_of(BETA, FOUND, [({"model.beta": 2.0}, measured("polarised"))])

    assert [training.seed for training in phases.trainings] == [4]


def test_a_linear_axis_has_no_ends_and_no_range() -> None:
    spec = study(latent_dim={"integer": [2, 16]})

    phases = phases_of(spec, FOUND, [({"model.latent_dim": 8}, measured("polarised"))])

    assert (phases.ends, phases.range) == (None, None)
    assert [training.weight for training in phases.trainings] == [8.0]


@pytest.mark.parametrize(("found", "trials"), [(None, []), (FOUND, []), (FOUND, [({}, None)])])
def test_before_a_trial_is_completed_there_is_nothing_to_draw(
    found: dict[str, Any] | None, trials: list[Any]
) -> None:
    with pytest.raises(InvalidInput, match="nothing to draw yet: no trial is completed"):
        phases_of(BETA, found, trials)


def test_a_study_of_several_fields_is_refused() -> None:
    spec = study(beta={"log_uniform": [0.1, 10.0]}, latent_dim={"integer": [2, 16]})

    with pytest.raises(InvalidInput, match=r"one swept field; .* model.beta, model.latent_dim$"):
        phases_of(spec, FOUND, [])


def test_a_field_of_names_is_refused() -> None:
    spec = study("ivae", prior_mean={"choices": ["learned", "fixed"]})

    with pytest.raises(InvalidInput, match=r"a field of numbers; model.prior_mean is one of lea"):
        phases_of(spec, FOUND, [])
