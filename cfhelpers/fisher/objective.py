"""What the engine needs to know about the quantity whose per-example gradients it collects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

from torch import Tensor

Power = Literal[1, 2]


class Objective(Protocol):
    """One number for each example, given by its gradient with respect to the logits."""

    @property
    def variant(self) -> str:
        """Name of the estimate; ``"batched"`` takes the gradient of a whole batch at once."""
        ...

    @property
    def shift(self) -> bool:
        """Whether logits at t predict label t + 1."""
        ...

    @property
    def power(self) -> Power:
        """What is summed over the examples: squares of their gradients (2) or absolute values (1)."""
        ...

    def passes(self, logits: Tensor) -> int:
        """How many backward passes a batch takes."""
        ...

    def gradients(self, logits: Tensor, labels: Tensor, indices: tuple[int, ...]) -> Iterator[Tensor]:
        """Yield one gradient with respect to ``logits`` for each pass; the sums over the passes are added up."""
        ...
