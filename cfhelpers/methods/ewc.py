"""Elastic weight consolidation (Kirkpatrick et al., 2017)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from cfhelpers.fisher import Importance, fisher_diagonal
from cfhelpers.fisher.likelihood import UNITS, VARIANTS, Unit, Variant
from cfhelpers.fisher.storage import STORAGES, Storage
from cfhelpers.methods.anchored import AnchoredMethod, one_of


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
        storage: The precision in which F is kept: "bfloat16" and "float16" take 2 bytes a weight in place of 4, beside
            the anchor's 4; see ``Importance.stored`` for what they round away.

    Raises:
        ValueError: ``strength`` is negative or not finite, or ``variant``, ``unit`` or ``storage`` is unknown.
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
        storage: Storage = "float32",
    ) -> None:
        super().__init__(strength)
        self.variant: Variant = one_of(variant, VARIANTS, "variant")
        self.unit: Unit = one_of(unit, UNITS, "unit")
        self.storage = one_of(storage, STORAGES, "storage")
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
        """Return λ, how the Fisher is estimated, and how it is kept if that is not in float32."""
        kept = {} if self.storage == "float32" else {"storage": self.storage}
        estimate = {"variant": self.variant, "unit": self.unit, "max_examples": self.max_examples}
        return {**super().settings(), **estimate, **kept}
