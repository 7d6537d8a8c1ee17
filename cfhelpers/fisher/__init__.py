"""Importance of a language model's parameters: the diagonal of the Fisher information, and MAS."""

from cfhelpers.fisher.estimate import fisher_diagonal
from cfhelpers.fisher.importance import Importance
from cfhelpers.fisher.mas import mas_importance

__all__ = ["Importance", "fisher_diagonal", "mas_importance"]
