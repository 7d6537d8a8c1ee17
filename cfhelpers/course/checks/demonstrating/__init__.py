"""Exercises of chapter 1: reading a result matrix, scoring the old head, probing a frozen encoder."""

from cfhelpers.course.checks.demonstrating.measures import transfer_and_forgetting
from cfhelpers.course.checks.demonstrating.old_head import old_task_accuracy
from cfhelpers.course.checks.demonstrating.probe import linear_probe

__all__ = ["linear_probe", "old_task_accuracy", "transfer_and_forgetting"]
