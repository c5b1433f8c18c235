"""Numbers at the ends of what a spec allows end in a result.

A training of two steps diverges with none of them; a bound that is refused would be no bound.
"""

from typing import Any

import pytest

from polar.experiment.run import run
from polar.records.events import Event, Result
from polar.spec import MODELS, ExperimentSpec

SMALLEST_DOUBLE = 5e-324
GAUSSIAN = [{"likelihood": {"name": "gaussian", "std": std}} for std in (1e-6, 1e6)]

#: What each model may be given at most and at least; 0 where a weight ends.
OF_MODEL: dict[str, list[dict[str, Any]]] = {
    "beta_vae": [{"beta": beta} for beta in (0.0, SMALLEST_DOUBLE, 1e6)],
    "ivae": [{"alpha": 0.0}, {"alpha": 1e6, "prior_mean": "fixed"}],
    "fixed_variance_vae": [{"variance": 1e-6}, {"variance": 1e6, "beta": 1e6}],
    "lv_ae": [{"lambda": lam, "eta": eta} for lam in (0.0, 1e6) for eta in (0.0, 1e6)],
    "l2_ae": [{"gamma": 0.0}, {"gamma": 1e6}],
    "ae": [{}],
}
OTHERS: list[dict[str, dict[str, Any]]] = [
    {"training": {"learning_rate": SMALLEST_DOUBLE}},
    {"training": {"learning_rate": 1.0}},
    {"training": {"batch_size": 1}},
    {"training": {"steps": 1, "checkpoint_every": 10**15}},
    {"diagnostics": {"sigma": 1e-6, "renyi_alpha": 0.75, "tau_std": 0}},
    {"diagnostics": {"sigma": 1e6, "renyi_alpha": 100, "tau_std": 1e6, "information_images": 0}},
    {"diagnostics": {"images": 5, "evaluations_per_doubling": 100, "ruler": "absolute"}},
    {"dataset": {"images": 5}, "training": {"batch_size": 5}},
]


def ending_of(model: dict[str, Any], **others: dict[str, Any]) -> Event:
    """The last event of a training of two steps."""
    content: dict[str, dict[str, Any]] = {
        "dataset": {"name": "digits", "images": 20},
        "model": {"latent_dim": 2, "widths": [2, 2, 2, 2, 2], **model},
        "training": {"steps": 2, "batch_size": 4},
        "diagnostics": {"images": 20, "information_images": 10},
    }
    spec = ExperimentSpec.model_validate(
        {part: {**fields, **others.get(part, {})} for part, fields in content.items()}
    )
    *_, last = run(spec)
    return last


@pytest.mark.parametrize("fields", [*GAUSSIAN, {}])
@pytest.mark.parametrize(
    ("model", "weight"), [(name, weight) for name, of in OF_MODEL.items() for weight in of]
)
def test_a_model_at_its_bounds_ends_in_a_result(
    model: str, weight: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert isinstance(ending_of({"name": model, **weight, **fields}), Result)


@pytest.mark.parametrize("others", OTHERS)
def test_a_training_at_its_bounds_ends_in_a_result(others: dict[str, dict[str, Any]]) -> None:
    assert isinstance(ending_of({"name": "beta_vae"}, **others), Result)


def test_every_model_is_tried() -> None:
    assert OF_MODEL.keys() == MODELS.keys() - {"own"}  # whose bounds are its author's
