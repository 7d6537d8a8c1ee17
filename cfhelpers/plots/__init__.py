"""Figures of what was learned and forgotten, drawn from records.

Each function draws on the given axes, or on new ones, and returns them. Bars and bands are 95 % intervals over seeds.
Shares (recall, accuracy) are shown in percent. Colours are those of Okabe & Ito (2008), which colour-blind readers can
tell apart; every series also has its own marker or line style.
"""

from cfhelpers.plots.comparisons import penalty_ratio, penalty_ratios, retention_against_learning, strength_sweep
from cfhelpers.plots.distances import forgetting_against_distance
from cfhelpers.plots.feedback import shares_over_updates
from cfhelpers.plots.importance import importance_by_token, importance_shares, kind_of, layer_of
from cfhelpers.plots.one_record import learning_curves, loss_curves, result_matrix
from cfhelpers.plots.parts import kept_and_learned, scores_at
from cfhelpers.plots.text import (
    final_nats,
    old_and_new_nats,
    old_nats_at,
    retention_learning_curve,
    transfer_curves,
)
from cfhelpers.plots.two_weights import two_bowls

__all__ = [
    "final_nats",
    "forgetting_against_distance",
    "importance_by_token",
    "importance_shares",
    "kept_and_learned",
    "kind_of",
    "layer_of",
    "learning_curves",
    "loss_curves",
    "old_and_new_nats",
    "old_nats_at",
    "penalty_ratio",
    "penalty_ratios",
    "result_matrix",
    "retention_against_learning",
    "retention_learning_curve",
    "scores_at",
    "shares_over_updates",
    "strength_sweep",
    "transfer_curves",
    "two_bowls",
]
