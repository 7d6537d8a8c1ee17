"""Online elastic weight consolidation (Schwarz et al., 2018)."""

from __future__ import annotations

import math
from typing import Any

from cfhelpers.fisher.likelihood import Unit, Variant
from cfhelpers.fisher.storage import Storage
from cfhelpers.methods.accumulated import AccumulatedMethod
from cfhelpers.methods.ewc import EWC


class OnlineEWC(AccumulatedMethod, EWC):
    """EWC in the memory of one task: (λ/2) Σᵢ F*ᵢ (θᵢ − θ*ᵢ)² with F*_t = γ F*_{t−1} + F_t and the newest anchor θ*.

    Schwarz et al. (2018, "Progress & Compress"), eqs. 8 and 9. Two differences: eq. 8 has γ F* in the penalty, a
    constant that is part of λ here; and they normalise each task's Fisher, in a way they do not state, where here a
    task whose Fisher is larger is protected more, as in :class:`EWC`.

    Args:
        strength: λ; see :class:`EWC`.
        decay: γ between 0 and 1: below 1, older tasks are forgotten gracefully, to make room. 1 sums all tasks
            (Huszár, 2018, "Note on the quadratic penalties in elastic weight consolidation").
        variant: As for :class:`EWC`.
        unit: As for :class:`EWC`.
        max_examples: As for :class:`EWC`.
        seed: As for :class:`EWC`.
        storage: As for :class:`EWC`; the sum is rounded after every task.

    Raises:
        ValueError: ``strength`` is negative or not finite, ``decay`` is outside [0, 1], or another setting is unknown.
    """

    name = "online_ewc"

    def __init__(
        self,
        strength: float,
        *,
        decay: float = 1.0,
        variant: Variant = "empirical",
        unit: Unit = "sequence",
        max_examples: int | None = None,
        seed: int = 0,
        storage: Storage = "float32",
    ) -> None:
        if not (math.isfinite(decay) and 0 <= decay <= 1):
            raise ValueError(f"decay must be between 0 and 1, got {decay}.")
        super().__init__(strength, variant=variant, unit=unit, max_examples=max_examples, seed=seed, storage=storage)
        self.decay = float(decay)

    def settings(self) -> dict[str, Any]:
        """Return λ, γ and how the Fisher is estimated."""
        return {**super().settings(), "decay": self.decay}
