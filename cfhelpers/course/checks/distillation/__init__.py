"""Exercises of chapter 8: the distillation loss, the curvature of the divergence, what was lost and gained."""

from cfhelpers.course.checks.distillation.curvature import second_order_kl
from cfhelpers.course.checks.distillation.loss import distillation
from cfhelpers.course.checks.distillation.transitions import lost_and_gained

__all__ = ["distillation", "lost_and_gained", "second_order_kl"]
