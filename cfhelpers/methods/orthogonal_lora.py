"""Each task learns in a low-rank subspace orthogonal to those before it (O-LoRA; Wang et al., 2023)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from cfhelpers.methods.adapters import Targets, adapted_layers, adapter_names
from cfhelpers.methods.lora import LoRA
from cfhelpers.tasks.encoding import EncodedTask


class OrthogonalLoRA(LoRA):
    """Add up one adapter per task; old ones are frozen, a new one is kept orthogonal to them; no task is told.

    The loss gets λ ∑ᵢ ‖Aᵢ Aᵀ‖²_F over the layers and the old adapters i (Wang et al., 2023, section 3, whose A is the
    transpose of peft's): what spans an update's inputs is A, and inputs that the old updates react to should not
    move with the new one.

    Args:
        rank: r of each task's update.
        strength: λ, in nats.
        alpha: As for ``LoRA``.
        targets: As for ``LoRA``.
        learning_rate: As for ``LoRA``.

    Raises:
        ValueError: ``strength`` is negative or not finite; or as for ``LoRA``.
    """

    name = "orthogonal_lora"

    def __init__(
        self,
        rank: int = 8,
        *,
        strength: float = 0.5,
        alpha: float = 16.0,
        targets: Targets = "all",
        learning_rate: float = 2e-3,
    ) -> None:
        super().__init__(rank, mode="merged", alpha=alpha, targets=targets, learning_rate=learning_rate)
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"strength must be a finite number ≥ 0, got {strength}.")
        self.strength = float(strength)

    def prepare_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Put the task's adapter in beside the old ones, which go on computing and do not train."""
        model = super().prepare_model(model, task)
        trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        for layer in adapted_layers(model).values():
            layer.set_adapter(list(layer.lora_A))
        for parameter, requires_grad in trainable:  # set_adapter makes all that it activates trainable
            parameter.requires_grad_(requires_grad)
        return model

    def prediction_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Return the model itself: the sum of all updates answers."""
        return model

    @torch.no_grad()
    def after_backward(self, model: nn.Module, scale: float) -> None:
        """Add the gradient of the orthogonality loss, 2 λ ∑ᵢ (A Aᵢᵀ) Aᵢ, to that of each new A."""
        for new, old in self._pairs(model):
            for each in old:
                pull = 2 * self.strength * scale * (new @ each.T) @ each
                new.grad = pull if new.grad is None else new.grad.add_(pull)

    @torch.no_grad()
    def diagnostics(self, model: nn.Module) -> dict[str, float]:
        """Return the orthogonality loss in nats and the norm of its gradient."""
        value, squared_norm, pairs = 0.0, 0.0, self._pairs(model)
        for new, old in pairs:
            value += sum(float((new @ each.T).square().sum()) for each in old)
            pull = torch.stack([2 * (new @ each.T) @ each for each in old]).sum(dim=0)
            squared_norm += float(pull.square().sum())
        if not pairs:
            return {}
        return {"penalty": self.strength * value, "penalty_gradient_norm": self.strength * math.sqrt(squared_norm)}

    def _pairs(self, model: nn.Module) -> list[tuple[nn.Parameter, list[Tensor]]]:
        """Return, for each layer, the A that trains and the old ones; nothing while there is only one."""
        *old, new = adapter_names(model)
        if not old:
            return []
        matrices: list[Any] = [layer.lora_A for layer in adapted_layers(model).values()]
        return [(each[new].weight, [each[name].weight for name in old]) for each in matrices]

    def settings(self) -> dict[str, Any]:
        """Return rank, λ, α, targets and learning rate."""
        settings = super().settings()
        del settings["mode"]
        return settings | {"strength": self.strength}
