"""Exercises of chapter 2: where EWC comes to rest, the exact Fisher of a classifier, a strength for another scale."""

from cfhelpers.course.checks.fisher.exact import exact_fisher
from cfhelpers.course.checks.fisher.rest import rest
from cfhelpers.course.checks.fisher.scale import matched_strength

__all__ = ["exact_fisher", "matched_strength", "rest"]
