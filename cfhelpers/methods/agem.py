"""Averaged gradient episodic memory (A-GEM; Chaudhry et al., 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from cfhelpers.methods.base import trainable_parameters
from cfhelpers.methods.rehearsal import RehearsalMethod


class AGEM(RehearsalMethod):
    """Take that part out of the new task's gradient which would raise the loss on a batch of old examples.

    With g the step's gradient and g_ref that of the old batch: if g·g_ref < 0, then
    g ← g − (g·g_ref / g_ref·g_ref) g_ref (Chaudhry et al., 2019, "Efficient lifelong learning with A-GEM", eq. 11).
    A step of plain gradient descent along the result does not raise the old batch's loss to first order. AdamW, which
    rescales every weight's gradient and remembers earlier ones, steps elsewhere, and gives no such promise.

    Args:
        buffer_size: Training examples kept of each task.
        batch_size: Old examples whose gradient is compared in one step.
        seed: Of the draws.
    """

    name = "agem"

    def __init__(self, buffer_size: int, *, batch_size: int = 16, seed: int = 0) -> None:
        super().__init__(buffer_size, batch_size=batch_size, seed=seed)
        self.projected = 0

    @classmethod
    def from_data(
        cls, model: nn.Module, batches: Iterable[Mapping[str, Tensor]], buffer_size: int, **settings: Any
    ) -> Self:
        """Keep old examples before a model learns something else.

        Args:
            model: Trained; it is not looked at.
            batches: Hugging Face batches of old training data.
            buffer_size: Examples to keep.
            **settings: As for the class: ``batch_size``, ``seed``.

        Returns:
            The method to give to ``ContinualTrainer(method=…)``.
        """
        method = cls(buffer_size, **settings)
        method.protect(model, batches)
        return method

    def after_backward(self, model: nn.Module, scale: float) -> None:
        """Project the gradients where they conflict with the old batch's; the loss scale cancels out."""
        if not self.kept:
            return
        parameters = trainable_parameters(model)
        reference = self.reference_gradient(model, parameters)
        gradients = {name: parameter.grad for name, parameter in parameters.items()}
        factor = conflict(gradients, reference)
        if factor >= 0:
            return
        self.projected += 1
        for name, direction in reference.items():
            parameter = parameters[name]
            change = direction.to(parameter.dtype) * -factor
            parameter.grad = change if parameter.grad is None else parameter.grad.add_(change)

    def reference_gradient(self, model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """Return the gradient of the next old batch's mean loss; what that batch does not use is left out."""
        batch, _ = self.old_batch(next(iter(parameters.values())).device)
        with torch.enable_grad():
            with self.alike_in_all_processes(batch["input_ids"].device):
                loss = model(**batch).loss
            found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        return {name: each for name, each in zip(parameters, found, strict=True) if each is not None}

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer, how often it was drawn from, and how many steps were projected."""
        return {**super().state_dict(), "projected": self.projected}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a buffer and the counts."""
        super().load_state_dict(state)
        self.projected = state["projected"]


def conflict(gradients: Mapping[str, Tensor | None], reference: Mapping[str, Tensor]) -> float:
    """Return g·g_ref / g_ref·g_ref: negative where a step along −g would raise the old batch's loss."""
    along, square = 0.0, 0.0
    for name, direction in reference.items():
        square += float(direction.double().square().sum())
        gradient = gradients[name]
        if gradient is not None:
            along += float((gradient.double() * direction.double()).sum())
    return along / square if square > 0 else 0.0
