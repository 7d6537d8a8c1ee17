"""What is differentiated: the gradient of a log-likelihood with respect to the logits, in closed form.

∂ log p(y) / ∂ logits = onehot(y) − p. Each variant and each unit is a choice of labels y and of weights on the targets,
so one backward pass from these gradients serves them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cfhelpers.fisher.data import IGNORED
from cfhelpers.fisher.forward import align

Variant = Literal["exact", "sample", "empirical", "batched"]
Unit = Literal["sequence", "token"]
VARIANTS = ("exact", "sample", "empirical", "batched")
UNITS = ("sequence", "token")


@dataclass(frozen=True)
class Likelihood:
    """The log-likelihood whose squared gradients are summed.

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
        rows = (targets != IGNORED).flatten().nonzero().squeeze(1)
        probabilities = torch.softmax(positions.flatten(0, 1)[rows], -1, dtype=_accumulation_type(logits))
        observed = targets.flatten()[rows]
        _check_finite(positions, probabilities, observed, rows, targets.shape[1], indices)
        examples = rows // targets.shape[1]
        passes = self.passes(logits)
        for step in range(passes):
            chosen, weights = self._targets(step, passes, probabilities, observed, examples, indices)
            if self.variant == "batched":
                weights = weights / (len(rows) if self.unit == "token" else len(examples.unique())) ** 0.5
            elif self._signed(logits):
                weights = weights * self._signs(step, examples, indices).to(weights)
            residual = probabilities * weights[:, None]
            residual[torch.arange(len(rows), device=rows.device), chosen] -= weights
            gradient = torch.zeros_like(positions).flatten(0, 1)
            gradient[rows] = residual.to(gradient.dtype)
            yield gradient.view_as(logits)

    def _signed(self, logits: Tensor) -> bool:
        return self.unit == "token" and self.variant in ("sample", "empirical") and logits.dim() == 3

    def _targets(
        self,
        step: int,
        passes: int,
        probabilities: Tensor,
        observed: Tensor,
        examples: Tensor,
        indices: tuple[int, ...],
    ) -> tuple[Tensor, Tensor]:
        """The label of each target and its weight, for one backward pass."""
        if self.variant == "exact":
            return torch.full_like(observed, step), probabilities[:, step].sqrt()
        weights = torch.full_like(probabilities[:, 0], passes**-0.5)
        if self.variant == "sample":
            uniform = self._uniform(step, examples, indices, stream=0).to(probabilities)
            return _inverse_cdf(probabilities, uniform), weights
        return observed, weights

    def _signs(self, step: int, examples: Tensor, indices: tuple[int, ...]) -> Tensor:
        return self._uniform(step, examples, indices, stream=1).lt(0.5).double() * 2 - 1

    def _uniform(self, step: int, examples: Tensor, indices: tuple[int, ...], stream: int) -> Tensor:
        """One number in [0, 1) for each target, keyed by seed, example, draw and stream."""
        counts = torch.bincount(examples, minlength=len(indices)).tolist()
        draws = [
            np.random.Generator(np.random.Philox(key=[self.seed % 2**63, index], counter=[0, 0, step, stream])).random(
                count
            )
            for index, count in zip(indices, counts, strict=True)
        ]
        return torch.from_numpy(np.concatenate(draws)).to(examples.device)


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


def _check_finite(
    positions: Tensor, probabilities: Tensor, observed: Tensor, rows: Tensor, width: int, indices: tuple[int, ...]
) -> None:
    classes = positions.shape[-1]
    outside = (observed < 0) | (observed >= classes)
    if bool(outside.any()):
        raise ValueError(
            f"label {int(observed[outside][0])} is no class of this model, which has {classes}; "
            "use -100 for what is to be ignored."
        )
    chosen = positions.flatten(0, 1)[rows, observed]
    bad = ~(torch.isfinite(chosen) & torch.isfinite(probabilities.sum(-1)))
    if bool(bad.any()):
        example = indices[int(rows[bad][0]) // width]
        raise ValueError(
            f"the loss is not finite on example {example}: NaN or infinite weights, a half-precision overflow, or a "
            "label whose class the model excludes there."
        )
