"""Which tokens of each example have a gradient at all: products over the others are left out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Spans = Sequence[tuple[int, int]]


class ActiveSpans:
    """Finds, in a layer's output gradient, the first and the last token of each example that is not exactly zero.

    Padding gets no gradient from a model that honours its mask, and behind the last attention of a classifier only the
    token that the head reads has one. Both are seen in the gradient itself, whatever the model. Neighbouring layers
    mostly have the same tokens, so within one backward pass the last answer is kept as long as it is right.
    """

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = ()
        self._silent = torch.empty(0, dtype=torch.long)
        self._spans: Spans = []

    def of(self, gradient: Tensor) -> Spans | None:
        """Spans for ``gradient`` ``[B, T, n]``; None where all tokens count, or where asking would hold up a GPU."""
        if gradient.is_cuda or gradient.shape[1] == 1:
            return None
        same = gradient.shape[:2] == self._shape and len(self._silent) > 0
        if not same or bool(_sizes(gradient.flatten(0, 1), self._silent).any()):
            self._look_at(gradient)
        return self._spans if len(self._silent) else None

    def _look_at(self, gradient: Tensor) -> None:
        active = (gradient[..., 0] != 0).contiguous()
        # Zero in the first column makes a candidate; only a row of zeros counts.
        candidates = (~active).flatten().nonzero().squeeze(1)
        active.view(-1)[candidates] = _sizes(gradient.flatten(0, 1), candidates) != 0
        self._shape = gradient.shape[:2]
        self._silent = (~active).flatten().nonzero().squeeze(1)
        first = active.int().argmax(1)
        last = active.shape[1] - active.flip(1).int().argmax(1)
        last = torch.where(active.any(1), last, first)
        self._spans = list(zip(first.tolist(), last.tolist(), strict=True))


def _sizes(rows: Tensor, chosen: Tensor) -> Tensor:
    """The largest absolute value in each of the chosen rows."""
    return rows.index_select(0, chosen).abs_().amax(-1)
