"""Memory aware synapses: how strongly each parameter moves the model's outputs (Aljundi et al., 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cfhelpers.fisher import data
from cfhelpers.fisher.estimate import mean_over_examples
from cfhelpers.fisher.forward import align
from cfhelpers.fisher.importance import Importance
from cfhelpers.fisher.objective import Power


def mas_importance(
    model: nn.Module,
    batches: Any,
    *,
    max_examples: int | None = None,
    seed: int = 0,
    progress: bool = True,
    collate: data.Collate | None = None,
    batch_size: int = 16,
) -> Importance:
    """Estimate how sensitive a model's outputs are to each parameter.

    Ωᵢ = 1/N ∑ₙ |∂ ‖f(xₙ)‖² / ∂θᵢ| (Aljundi et al., 2018, "Memory aware synapses", eqs. 2 and 3): the absolute value is
    taken of each example's gradient, before averaging. (The authors' own code takes it of a batch's gradient, where
    examples that pull in opposite directions cancel.)

    The output f(x) of a language model is the logits at the positions whose next token is a target, of a classifier
    its class logits; ‖f(x)‖² sums the squares of all of them. These are the outputs that the task is about, and the
    same that ``fisher_diagonal`` differentiates, so that the two compare like with like; logits inside the question
    were never trained. Which token or class a label names is not looked at: any will do, and only -100 matters.
    For unlabelled text, let the labels be the ``input_ids``.

    Logits that differ by a constant give the same probabilities but another norm, so part of what this importance
    protects has no effect on the answers.

    It runs in the engine of ``fisher_diagonal``, one batched backward pass for each batch, at the same cost; the mode,
    gradients, flags and random state are restored in the same way, and the same things count as examples.

    Args:
        model: Returns ``logits`` of shape ``[B, T, V]`` or ``[B, C]``; logits of -inf (an excluded class) count as 0.
        batches: As for ``fisher_diagonal``.
        max_examples: At most so many examples: a seeded random subset of a data set, the first of an iterable.
        seed: Keys the subset.
        progress: Show a bar when it takes longer than two seconds.
        collate: Makes a batch of a list of examples (for a data set). Default: pad on the right.
        batch_size: Examples in a batch (for a data set).

    Returns:
        One float32 tensor per trainable parameter, in squared logits per parameter unit; its ``variant`` is "mas".

    Raises:
        ValueError: ``batches`` is empty or has only labels of -100, a logit is NaN or +inf, or nothing is trainable.
    """
    return mean_over_examples(
        model,
        batches,
        SquaredNorm,
        variant="mas",
        unit="sequence",
        max_examples=max_examples,
        seed=seed,
        progress=progress,
        collate=collate,
        batch_size=batch_size,
    )


@dataclass(frozen=True)
class SquaredNorm:
    """The squared norm of an example's outputs (an :class:`~cfhelpers.fisher.objective.Objective`).

    Attributes:
        shift: Whether logits at t predict label t + 1.
    """

    shift: bool
    variant: str = field(default="mas", init=False)
    power: Power = field(default=1, init=False)

    def passes(self, logits: Tensor) -> int:
        """One backward pass a batch."""
        return 1

    def gradients(self, logits: Tensor, labels: Tensor, indices: tuple[int, ...]) -> Iterator[Tensor]:
        """Yield ∂ ‖f‖² / ∂ logits = 2 · logits where there is a target, 0 elsewhere.

        Args:
            logits: ``[B, T, V]`` or ``[B, C]``.
            labels: ``[B, T]`` or ``[B]``.
            indices: The number of each of the B examples.

        Raises:
            ValueError: A logit at a target is NaN or +inf.
        """
        positions, targets = align(logits.detach(), labels, self.shift)
        outputs = positions.masked_fill((targets == data.IGNORED)[..., None] | positions.isneginf(), 0.0)
        bad = ~torch.isfinite(outputs).flatten(1).all(1)
        if bool(bad.any()):
            raise ValueError(
                f"the outputs are not finite on example {indices[int(bad.nonzero()[0])]}: NaN or infinite weights, or "
                "a half-precision overflow."
            )
        yield (2 * outputs).view(logits.shape)
