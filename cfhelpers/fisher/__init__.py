"""Importance of a language model's parameters: the diagonal of the Fisher information."""

from cfhelpers.fisher.estimate import fisher_diagonal
from cfhelpers.fisher.importance import Importance

__all__ = ["Importance", "fisher_diagonal"]
