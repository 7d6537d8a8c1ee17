"""Figures of what was learned and forgotten, drawn from records.

Each function draws on the given axes, or on new ones, and returns them. Bars and bands are 95 % intervals over seeds.
Shares (recall, accuracy) are shown in percent. Colours are those of Okabe & Ito (2008), which colour-blind readers can
tell apart; every series also has its own marker or line style.
"""

from cfhelpers.plots.adapters import benchmark_front, final_scores, kept_at, rate_fronts, rate_of
from cfhelpers.plots.close_up import close_up
from cfhelpers.plots.comparisons import (
    fronts,
    learning_rates,
    penalty_ratio,
    penalty_ratios,
    retention_against_learning,
    strength_sweep,
)
from cfhelpers.plots.distances import forgetting_against_distance
from cfhelpers.plots.feedback import shares_over_updates
from cfhelpers.plots.importance import importance_by_token, importance_shares, kind_of, layer_of
from cfhelpers.plots.isolation import average_accuracies, gains, prompt_layout, step_costs
from cfhelpers.plots.one_record import head_and_probe, learning_curves, loss_curves, result_matrix
from cfhelpers.plots.parts import kept_and_learned, scores_at
from cfhelpers.plots.replay import after_switch, projection, scores_against
from cfhelpers.plots.text import (
    final_nats,
    old_and_new_nats,
    old_nats_at,
    retention_learning_curve,
    transfer_curves,
)
from cfhelpers.plots.two_weights import two_bowls

__all__ = [
    "after_switch",
    "average_accuracies",
    "benchmark_front",
    "close_up",
    "final_nats",
    "final_scores",
    "forgetting_against_distance",
    "fronts",
    "gains",
    "head_and_probe",
    "importance_by_token",
    "importance_shares",
    "kept_and_learned",
    "kept_at",
    "kind_of",
    "layer_of",
    "learning_curves",
    "learning_rates",
    "loss_curves",
    "old_and_new_nats",
    "old_nats_at",
    "penalty_ratio",
    "penalty_ratios",
    "projection",
    "prompt_layout",
    "rate_fronts",
    "rate_of",
    "result_matrix",
    "retention_against_learning",
    "retention_learning_curve",
    "scores_against",
    "scores_at",
    "shares_over_updates",
    "step_costs",
    "strength_sweep",
    "transfer_curves",
    "two_bowls",
]
