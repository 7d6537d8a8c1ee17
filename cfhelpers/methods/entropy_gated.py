"""Entropy-adaptive fine-tuning: learn less from tokens that contradict what the model is sure of."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from cfhelpers.methods.base import Method
from cfhelpers.methods.divergence import is_target, target_logits
from cfhelpers.tasks.encoding import Batch


class EntropyGated(Method):
    """Weigh each target's loss by the model's own entropy there, between 0 (sure) and 1 (no idea).

    H̃ₜ · −log p(yₜ) with H̃ₜ the entropy over the k most probable tokens divided by log k, without gradient ("EAFT",
    arXiv 2601.02151, section 3). A target that the model is sure of is either known, and teaches nothing, or it is a
    confident conflict, and tears. Nothing is kept and nothing else is computed: all that changes is one factor.

    The model's own loss is the plain cross-entropy; this adds (H̃ₜ − 1) times it. Under label smoothing or a loss of
    one's own that difference would be another one.

    Args:
        top_k: k; 20 in the paper. Fewer, where the model has fewer classes.

    Raises:
        ValueError: ``top_k`` is below 2.
    """

    name = "entropy_gated"

    def __init__(self, *, top_k: int = 20) -> None:
        if top_k < 2:
            raise ValueError(f"top_k must be at least 2, or there is no entropy, got {top_k}.")
        self.top_k = top_k

    def extra_loss(self, model: nn.Module, inputs: Batch, outputs: Any, num_items: Tensor) -> Tensor:
        """Return ∑ₜ (H̃ₜ − 1) · −log p(yₜ) over this micro-batch's targets, over ``num_items``."""
        labels = inputs["labels"]
        logits = target_logits(outputs.logits, labels).float()
        targets = (labels[:, 1:] if labels.dim() > 1 else labels)[is_target(labels)]
        loss = nn.functional.cross_entropy(logits, targets, reduction="none")
        return ((gate(logits, self.top_k) - 1) * loss).sum() / num_items

    def settings(self) -> dict[str, Any]:
        """Return k."""
        return {"top_k": self.top_k}


@torch.no_grad()
def gate(logits: Tensor, top_k: int = 20) -> Tensor:
    """Return the normalised entropy of predictions over their k most probable outcomes.

    Args:
        logits: Shape ``[N, V]``.
        top_k: k, at least 2; at most V are taken.

    Returns:
        Shape ``[N]``, between 0 and 1, without a gradient.
    """
    k = min(top_k, logits.shape[-1])
    probabilities = torch.softmax(logits.float().topk(k, dim=-1).values, dim=-1)
    return torch.special.entr(probabilities).sum(dim=-1) / math.log(k)
