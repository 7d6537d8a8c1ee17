"""Exercises of chapter 0: the share that was lost, the average accuracy, and what counts as evidence."""

from cfhelpers.course.checks.starting.evidence import shows_forgetting
from cfhelpers.course.checks.starting.numbers import average_accuracy, share_lost

__all__ = ["average_accuracy", "share_lost", "shows_forgetting"]
