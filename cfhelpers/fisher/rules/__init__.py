"""What each kind of layer contributes to the gradient of one example: one rule per file.

A rule turns a layer's input and the gradient at its output into a contribution per parameter, all examples of a batch
at once and without ever forming a ``[B, out, in]`` tensor.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from cfhelpers.fisher.contributions import Contribution
from cfhelpers.fisher.rules import embedding, linear, normalization

Rule = Callable[[nn.Module, Tensor, Tensor], dict[str, Contribution]]

_RULES = (linear, embedding, normalization)


def rule_for(module: nn.Module) -> tuple[Rule, tuple[str, ...]] | None:
    """The rule for a module and the names of its own parameters that it covers; None if there is no rule."""
    for rules in _RULES:
        covered = rules.covers(module)
        if covered:
            return rules.contributions, covered
    return None
