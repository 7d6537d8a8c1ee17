"""Exercises of chapter 4: perplexity, the path integral of synaptic intelligence, the importance of online EWC."""

from cfhelpers.checks.language.online import online_importance
from cfhelpers.checks.language.path import path_importance
from cfhelpers.checks.language.perplexity import perplexity

__all__ = ["online_importance", "path_importance", "perplexity"]
