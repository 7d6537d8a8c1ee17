"""Exercises of chapter 4: perplexity, the path integral, the importance of online EWC, one penalty per step."""

from cfhelpers.course.checks.language.accumulation import gradient_of_step
from cfhelpers.course.checks.language.online import online_importance
from cfhelpers.course.checks.language.path import path_importance
from cfhelpers.course.checks.language.perplexity import perplexity

__all__ = ["gradient_of_step", "online_importance", "path_importance", "perplexity"]
