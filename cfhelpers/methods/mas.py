"""Memory aware synapses (Aljundi et al., 2018)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from cfhelpers.fisher import Importance, mas_importance
from cfhelpers.methods.accumulated import AccumulatedMethod


class MAS(AccumulatedMethod):
    """Penalise moving the weights that the model's outputs depend on: (λ/2) Σᵢ Ωᵢ (θᵢ − θ*ᵢ)².

    Aljundi et al. (2018, "Memory aware synapses: learning what (not) to forget"), eq. 4, which has λ in place of λ/2:
    their λ is half of ours. Ωᵢ, from ``mas_importance``, asks for no labels, so it does not vanish as the empirical
    Fisher does for a model that is certain of its answers. As in the authors' code, the importances of the tasks are
    summed and θ* are the weights after the newest task.

    Args:
        strength: λ.
        max_examples: Estimate from at most this many examples of a task; None uses all.
        seed: Of the draw of examples.
    """

    name = "mas"

    def __init__(self, strength: float, *, max_examples: int | None = None, seed: int = 0) -> None:
        super().__init__(strength)
        self.max_examples, self.seed = max_examples, seed

    def importance(self, model: nn.Module, batches: Iterable[Any]) -> Importance:
        """Return the sensitivity of the outputs at the model's present weights."""
        return mas_importance(model, batches, max_examples=self.max_examples, seed=self.seed, progress=False)

    def settings(self) -> dict[str, Any]:
        """Return λ and how many examples are used."""
        return {**super().settings(), "max_examples": self.max_examples}
