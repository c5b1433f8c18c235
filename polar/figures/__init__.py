"""Pictures of runs and sweeps, drawn from tidy tables by one function each.

Each name below is imported when it is first used: a training process draws only at its end and
should not load matplotlib before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polar.figures.budgets import budget_table as budget_table
    from polar.figures.budgets import weight_by_steps as weight_by_steps
    from polar.figures.codes import representations as representations
    from polar.figures.criteria import criteria_agreement as criteria_agreement
    from polar.figures.criteria import thresholds as thresholds
    from polar.figures.criteria import usage_against_entropy as usage_against_entropy
    from polar.figures.downstream import accuracy_against_k as accuracy_against_k
    from polar.figures.drawings import prior_samples as prior_samples
    from polar.figures.drawings import reconstructions as reconstructions
    from polar.figures.drawings import traversals as traversals
    from polar.figures.dynamics import activation_order as activation_order
    from polar.figures.dynamics import measures_over_training as measures_over_training
    from polar.figures.dynamics import trajectories as trajectories
    from polar.figures.entropies import entropy_heatmap as entropy_heatmap
    from polar.figures.entropies import entropy_lines as entropy_lines
    from polar.figures.entropies import sorted_entropies as sorted_entropies
    from polar.figures.envelope import loss_envelope as loss_envelope
    from polar.figures.estimators import entropy_against_variance as entropy_against_variance
    from polar.figures.estimators import spike_and_slab as spike_and_slab
    from polar.figures.files import save as save
    from polar.figures.hysteresis import hysteresis_diagram as hysteresis_diagram
    from polar.figures.hysteresis import hysteresis_table as hysteresis_table
    from polar.figures.information import information_by_weight as information_by_weight
    from polar.figures.information import information_diagram as information_diagram
    from polar.figures.information import information_split as information_split
    from polar.figures.keeping import explained_by_the_most_used as explained_by_the_most_used
    from polar.figures.phases import phase_diagram as phase_diagram
    from polar.figures.phases import phase_table as phase_table
    from polar.figures.run import figure_of as figure_of
    from polar.figures.run import save_figures as save_figures
    from polar.figures.sweeps import sorted_entropies_by_weight as sorted_entropies_by_weight

_HOMES = {
    "accuracy_against_k": "downstream",
    "activation_order": "dynamics",
    "budget_table": "budgets",
    "criteria_agreement": "criteria",
    "entropy_against_variance": "estimators",
    "entropy_heatmap": "entropies",
    "entropy_lines": "entropies",
    "explained_by_the_most_used": "keeping",
    "figure_of": "run",
    "hysteresis_diagram": "hysteresis",
    "hysteresis_table": "hysteresis",
    "information_by_weight": "information",
    "information_diagram": "information",
    "information_split": "information",
    "loss_envelope": "envelope",
    "measures_over_training": "dynamics",
    "phase_diagram": "phases",
    "phase_table": "phases",
    "prior_samples": "drawings",
    "reconstructions": "drawings",
    "representations": "codes",
    "save": "files",
    "save_figures": "run",
    "sorted_entropies": "entropies",
    "sorted_entropies_by_weight": "sweeps",
    "spike_and_slab": "estimators",
    "thresholds": "criteria",
    "trajectories": "dynamics",
    "traversals": "drawings",
    "usage_against_entropy": "criteria",
    "weight_by_steps": "budgets",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOMES:
        raise AttributeError(f"module 'polar.figures' has no attribute {name!r}")
    return getattr(import_module(f"polar.figures.{_HOMES[name]}"), name)
