"""Exercises of chapter 5: a low-rank update by hand, the mean of several, and how far two are from orthogonal."""

from cfhelpers.course.checks.adapters.merging import mean_of_updates
from cfhelpers.course.checks.adapters.orthogonality import overlap
from cfhelpers.course.checks.adapters.update import low_rank_update

__all__ = ["low_rank_update", "mean_of_updates", "overlap"]
