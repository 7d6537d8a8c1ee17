"""Exercises of chapter 3: a batch of dialogue, the diagonal Fisher information, the penalty."""

from cfhelpers.course.checks.ewc.batch import dialogue_batch
from cfhelpers.course.checks.ewc.importance import fisher
from cfhelpers.course.checks.ewc.spring import penalty

__all__ = ["dialogue_batch", "fisher", "penalty"]
