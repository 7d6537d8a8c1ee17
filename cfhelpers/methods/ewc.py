"""Elastic weight consolidation (Kirkpatrick et al., 2017)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from cfhelpers.fisher import Importance, fisher_diagonal
from cfhelpers.fisher.likelihood import UNITS, VARIANTS, Unit, Variant
from cfhelpers.methods.anchored import AnchoredMethod


class EWC(AnchoredMethod):
    """Penalise moving the weights that the old data depend on: (λ/2) Σᵢ Fᵢ (θᵢ − θ*ᵢ)² for each old task.

    Kirkpatrick et al. (2017, "Overcoming catastrophic forgetting in neural networks"), eq. 3, with one penalty per
    old task. F is the diagonal Fisher information at θ*, the weights after that task.

    Args:
        strength: λ. Its scale follows the Fisher's: the empirical Fisher of a model that is certain of its training
            answers is almost zero, and so is the protection; see ``variant``.
        variant: Where the labels come from: "empirical" takes the data's, "sample" draws them from the model.
        unit: Square the gradient of a whole sequence's log-likelihood, or of each token's.
        max_examples: Estimate from at most this many examples of a task; None uses all.
        seed: Of the drawn labels and examples.

    Raises:
        ValueError: ``strength`` is negative or not finite, or there is no such variant or unit.
    """

    name = "ewc"

    def __init__(
        self,
        strength: float,
        *,
        variant: Variant = "empirical",
        unit: Unit = "sequence",
        max_examples: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(strength)
        for value, choices in ((variant, VARIANTS), (unit, UNITS)):
            if value not in choices:
                raise ValueError(f"{value!r} is none of {', '.join(choices)}.")
        self.variant: Variant = variant
        self.unit: Unit = unit
        self.max_examples, self.seed = max_examples, seed

    def importance(self, model: nn.Module, batches: Iterable[Any]) -> Importance:
        """Return the diagonal Fisher information at the model's present weights."""
        return fisher_diagonal(
            model,
            batches,
            variant=self.variant,
            unit=self.unit,
            max_examples=self.max_examples,
            seed=self.seed,
            progress=False,
        )

    def settings(self) -> dict[str, Any]:
        """Return λ and how the Fisher is estimated."""
        return {**super().settings(), "variant": self.variant, "unit": self.unit, "max_examples": self.max_examples}
