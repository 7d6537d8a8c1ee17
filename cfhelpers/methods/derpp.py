"""Dark experience replay (DER++; Buzzega et al., 2020)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from cfhelpers.evaluation.scores import evaluating, model_inputs
from cfhelpers.methods.mixing import Row
from cfhelpers.methods.rehearsal import RehearsalMethod, at_targets
from cfhelpers.tasks.encoding import Collator


class DERpp(RehearsalMethod):
    """Rehearse old examples with the logits that the model had for them, and with their labels.

    Added to the new task's loss, once per optimizer step on a batch of old examples: α · mean (z − z*)² + β · their
    cross-entropy, with z the logits at the targets and z* the ones stored (Buzzega et al., 2020, "Dark experience for
    general continual learning", eq. 6). The logits say of every wrong answer how wrong it was.

    Two differences from the paper: the logits are stored at the end of a task, not along the way, and both terms look
    at one batch, which saves a forward pass. Where the vocabulary is large only the ``top_k`` largest are stored and
    compared.

    Args:
        buffer_size: Training examples kept of each task.
        logit_weight: α.
        label_weight: β.
        top_k: Logits kept at each target.
        batch_size: Old examples in one step.
        seed: Of the draws.

    Raises:
        ValueError: A weight is negative or not finite, both are zero, or ``top_k`` is below 1.
    """

    name = "derpp"

    def __init__(
        self,
        buffer_size: int,
        *,
        logit_weight: float = 0.1,
        label_weight: float = 1.0,
        top_k: int = 32,
        batch_size: int = 16,
        seed: int = 0,
    ) -> None:
        super().__init__(buffer_size, batch_size=batch_size, seed=seed)
        weights = (logit_weight, label_weight)
        if not all(math.isfinite(each) and each >= 0 for each in weights) or not any(weights) or top_k < 1:
            raise ValueError(
                f"logit_weight and label_weight must be finite numbers ≥ 0, one of them above 0, and top_k at least 1, "
                f"got {logit_weight}, {label_weight} and {top_k}."
            )
        self.logit_weight, self.label_weight, self.top_k = logit_weight, label_weight, top_k

    @classmethod
    def from_data(
        cls, model: nn.Module, batches: Iterable[Mapping[str, Tensor]], buffer_size: int, **settings: Any
    ) -> Self:
        """Keep old examples with the model's present logits before it learns something else.

        Args:
            model: Trained on them.
            batches: Hugging Face batches of old training data.
            buffer_size: Examples to keep.
            **settings: As for the class.

        Returns:
            The method to give to ``ContinualTrainer(method=…)``.
        """
        method = cls(buffer_size, **settings)
        method.protect(model, batches)
        return method

    def remember(self, model: nn.Module, name: str, rows: list[Row]) -> None:
        """Keep rows together with the logits, in evaluation mode, at their targets."""
        with evaluating(model):
            for row in rows:
                batch = Collator(0)([row])
                logits = at_targets(model(**model_inputs(model, batch)).logits.float().cpu(), batch["labels"])
                values, columns = logits.topk(min(self.top_k, logits.shape[-1]), dim=-1)
                row |= {"logits": values, "columns": columns.int()}
        super().remember(model, name, rows)

    def after_backward(self, model: nn.Module, scale: float) -> None:
        """Add the gradient of the rehearsal loss."""
        if self.kept:
            with torch.enable_grad():
                (self.rehearsal_loss(model) * scale).backward()

    def rehearsal_loss(self, model: nn.Module) -> Tensor:
        """Return α · mean (z − z*)² + β · cross-entropy on the next old batch, both means over its targets."""
        batch, rows = self.old_batch(next(model.parameters()).device)
        with self.alike_in_all_processes(batch["input_ids"].device):
            outputs = model(**batch)
        logits = at_targets(outputs.logits.float(), batch["labels"])
        return self.logit_weight * logit_distance(logits, rows) + self.label_weight * outputs.loss

    def settings(self) -> dict[str, Any]:
        """Return the weights and what is kept."""
        weights = {"logit_weight": self.logit_weight, "label_weight": self.label_weight, "top_k": self.top_k}
        return {**super().settings(), **weights}


def logit_distance(logits: Tensor, rows: list[Row]) -> Tensor:
    """Return the mean squared difference to the stored logits, over all targets and all logits kept there.

    Args:
        logits: [M, V], the targets of the rows one after the other.
        rows: With ``logits`` and ``columns``, each [m, k].
    """
    differences, start = [], 0
    for row in rows:
        stored, columns = row["logits"].to(logits), row["columns"].long().to(logits.device)
        now = logits[start : start + len(stored)].gather(1, columns)
        differences.append((now - stored).square().flatten())
        start += len(stored)
    return torch.cat(differences).mean()
