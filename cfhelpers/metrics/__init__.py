"""Pure formulas, numpy only: on result matrices (``sequences``), single items, texts, and means over runs."""

from cfhelpers.metrics.intervals import Interval, mean_and_interval
from cfhelpers.metrics.items import Transitions, explained_share, savings, transitions
from cfhelpers.metrics.sequences import (
    average_accuracy,
    backward_transfer,
    forgetting,
    forward_transfer,
    intransigence,
    minimum_accuracy,
    worst_case_accuracy,
)
from cfhelpers.metrics.text import perplexity

__all__ = [
    "Interval",
    "Transitions",
    "average_accuracy",
    "backward_transfer",
    "explained_share",
    "forgetting",
    "forward_transfer",
    "intransigence",
    "mean_and_interval",
    "minimum_accuracy",
    "perplexity",
    "savings",
    "transitions",
    "worst_case_accuracy",
]
