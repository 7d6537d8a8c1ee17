"""What is differentiated: the gradient of a log-likelihood with respect to the logits, in closed form.

∂ log p(y) / ∂ logits = onehot(y) − p. Each variant and each unit is a choice of labels y and of weights on the targets,
so one backward pass from these gradients serves them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cfhelpers.fisher.data import IGNORED
from cfhelpers.fisher.forward import align
from cfhelpers.fisher.objective import Power

Variant = Literal["exact", "sample", "empirical", "batched"]
Unit = Literal["sequence", "token"]
VARIANTS = ("exact", "sample", "empirical", "batched")
UNITS = ("sequence", "token")


@dataclass(frozen=True)
class Likelihood:
    """The log-likelihood whose squared gradients are summed (an :class:`~cfhelpers.fisher.objective.Objective`).

    Attributes:
        variant: Where the labels y come from.
        unit: What one squared gradient belongs to.
        shift: Whether logits at t predict label t + 1.
        draws: How many draws of labels (``"sample"``) or of signs (``"token"``) each example gets.
        seed: Keys the draws, together with the number of the example: they do not depend on the batching.
    """

    variant: Variant
    unit: Unit
    shift: bool
    draws: int
    seed: int
    power: Power = field(default=2, init=False)

    def passes(self, logits: Tensor) -> int:
        """How many backward passes a batch takes."""
        if self.variant == "exact":
            return logits.shape[-1]
        return self.draws if self.variant == "sample" or self._signed(logits) else 1

    def gradients(self, logits: Tensor, labels: Tensor, indices: tuple[int, ...]) -> Iterator[Tensor]:
        """Yield gradients with respect to ``logits`` whose squared parameter gradients sum to what is wanted.

        Args:
            logits: ``[B, T, V]`` or ``[B, C]``.
            labels: ``[B, T]`` or ``[B]``.
            indices: The number of each of the B examples.

        Raises:
            ValueError: The log-likelihood is not finite, or a label is no class of the model.
        """
        positions, targets = align(logits.detach(), labels, self.shift)
        flat, targets = positions.flatten(0, 1), targets.flatten()
        rows = (targets != IGNORED).nonzero().squeeze(1)
        # Where most positions are targets, working on all of them in place beats gathering and scattering.
        dense = 2 * len(rows) >= len(flat)
        probabilities = torch.softmax(flat if dense else flat[rows], -1, dtype=_accumulation_type(logits))
        places = rows if dense else torch.arange(len(rows), device=rows.device)
        observed, examples = targets[rows], rows // positions.shape[1]
        _check_finite(flat, probabilities, observed, rows, places, [indices[i] for i in examples.tolist()])
        passes = self.passes(logits)
        for step in range(passes):
            chosen, weights = self._targets(step, passes, probabilities, places, observed, examples, indices)
            if self._signed(logits):
                signs = self._signs(step, examples, indices).to(probabilities.device, probabilities.dtype)
                weights = signs if weights is None else signs * weights
            residual = probabilities if step == passes - 1 else probabilities.clone()
            residual = _weighted_residual_(residual, places, chosen, weights).to(logits.dtype)
            if dense:
                gradient = residual.index_fill_(0, (targets == IGNORED).nonzero().squeeze(1), 0.0)
            else:
                gradient = torch.zeros_like(flat).index_copy_(0, rows, residual)
            yield gradient.view(logits.shape)

    def _signed(self, logits: Tensor) -> bool:
        return self.unit == "token" and self.variant in ("sample", "empirical") and logits.dim() == 3

    def _targets(
        self,
        step: int,
        passes: int,
        probabilities: Tensor,
        places: Tensor,
        observed: Tensor,
        examples: Tensor,
        indices: tuple[int, ...],
    ) -> tuple[Tensor, Tensor | None]:
        """The label of each target and its weight (None: all 1), for one backward pass."""
        if self.variant == "exact":
            return torch.full_like(observed, step), probabilities[places, step].sqrt()
        if self.variant == "batched":
            count = len(observed) if self.unit == "token" else len(examples.unique())
            return observed, torch.full_like(probabilities[places, 0], count**-0.5)
        chosen, weights = observed, None
        if self.variant == "sample":
            uniform = self._uniform(step, examples, indices, stream=0).to(probabilities.device, probabilities.dtype)
            chosen = _inverse_cdf(probabilities[places], uniform)
        if passes > 1:
            weights = torch.full_like(probabilities[places, 0], passes**-0.5)
        return chosen, weights

    def _signs(self, step: int, examples: Tensor, indices: tuple[int, ...]) -> Tensor:
        return self._uniform(step, examples, indices, stream=1).lt(0.5).float() * 2 - 1

    def _uniform(self, step: int, examples: Tensor, indices: tuple[int, ...], stream: int) -> Tensor:
        """One number in [0, 1) for each target, keyed by seed, example, draw and stream."""
        counts = torch.bincount(examples, minlength=len(indices)).tolist()
        draws = [
            np.random.Generator(np.random.Philox(key=[self.seed % 2**63, index], counter=[0, 0, step, stream])).random(
                count
            )
            for index, count in zip(indices, counts, strict=True)
        ]
        return torch.from_numpy(np.concatenate(draws))


def n_targets(labels: Tensor, shift: bool) -> Tensor:
    """How many targets each example has, ``[B]``."""
    if labels.dim() == 1:
        return (labels != IGNORED).long()
    return (labels[:, 1:] != IGNORED if shift else labels != IGNORED).sum(1)


def _accumulation_type(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


def _inverse_cdf(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Draw a class per row; classes of probability zero are never drawn."""
    cumulative = probabilities.cumsum(-1)
    total = cumulative[:, -1:]
    threshold = torch.minimum(uniform[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, threshold, right=True).squeeze(1)


def _weighted_residual_(probabilities: Tensor, places: Tensor, chosen: Tensor, weights: Tensor | None) -> Tensor:
    """``weight · (p − onehot)`` at the given rows, in place; the sign does not matter to a square."""
    if weights is None:
        probabilities[places, chosen] -= 1.0
        return probabilities
    everywhere = torch.zeros_like(probabilities[:, 0]).index_copy_(0, places, weights)
    probabilities.mul_(everywhere[:, None])
    probabilities[places, chosen] -= weights
    return probabilities


def _check_finite(
    flat: Tensor, probabilities: Tensor, observed: Tensor, rows: Tensor, places: Tensor, examples: list[int]
) -> None:
    """Raise where a target's log-likelihood is not finite; ``examples`` has the number of each target's example."""
    classes = flat.shape[-1]
    outside = (observed < 0) | (observed >= classes)
    if bool(outside.any()):
        raise ValueError(
            f"label {int(observed[outside][0])} is no class of this model, which has {classes}; "
            "use -100 for what is to be ignored."
        )
    # One NaN or +inf among the logits of a position makes each of its probabilities NaN.
    bad = ~(torch.isfinite(flat[rows, observed]) & torch.isfinite(probabilities[places, observed]))
    if bool(bad.any()):
        raise ValueError(
            f"the loss is not finite on example {examples[int(bad.nonzero()[0])]}: NaN or infinite weights, a "
            "half-precision overflow, or a label whose class the model excludes there."
        )
