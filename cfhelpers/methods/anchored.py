"""What EWC and L2 to the anchor share: one quadratic penalty for each finished task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self

from torch import Tensor, nn

from cfhelpers.fisher.naming import named_parameters
from cfhelpers.methods.base import Method
from cfhelpers.penalty import QuadraticPenalty
from cfhelpers.tasks.encoding import EncodedTask


class AnchoredMethod(Method):
    """Pull the weights towards where they stood after each old task; nothing is pulled during the first.

    Args:
        strength: λ, in nats per unit of importance times squared weight. Depends on the loss and on the scale of
            the importance: sweep it on a logarithmic grid.

    Raises:
        ValueError: ``strength`` is negative or not finite.
    """

    def __init__(self, strength: float) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"strength must be a finite number ≥ 0, got {strength}.")
        self.strength = float(strength)
        self.penalties: list[QuadraticPenalty] = []

    def importance(self, model: nn.Module, batches: Iterable[Any]) -> Mapping[str, Tensor]:
        """Return how much each parameter matters for the data just learned."""
        raise NotImplementedError

    def protect(self, model: nn.Module, batches: Iterable[Any]) -> Self:
        """Add a penalty that keeps the model, as it stands now, good at ``batches``."""
        self.penalties.append(QuadraticPenalty(self.importance(model, batches), model, self.strength))
        return self

    def after_backward(self, model: nn.Module, scale: float) -> None:
        """Add the gradient of every penalty."""
        for penalty in self.penalties:
            penalty.add_gradient_(model, scale)

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Measure the importance at the weights that become the anchor."""
        self.protect(model, task.batches("train"))

    def diagnostics(self, model: nn.Module) -> dict[str, float]:
        """Return the penalties' value in nats and the norm of their gradient."""
        if not self.penalties:
            return {}
        gradients: dict[str, Any] = {}
        parameters = named_parameters(model)
        for penalty in self.penalties:
            for name, importance in penalty.importance.items():
                pull = self.strength * importance * (parameters[name].detach() - penalty.anchor[name])
                gradients[name] = gradients.get(name, 0) + pull
        return {
            "penalty": sum(float(penalty.value(model).detach()) for penalty in self.penalties),
            "penalty_gradient_norm": math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients.values())),
        }

    def settings(self) -> dict[str, Any]:
        """Return λ."""
        return {"strength": self.strength}

    def state_dict(self) -> dict[str, Any]:
        """Return each penalty's importance and anchor."""
        return {
            "penalties": [
                {"importance": dict(penalty.importance), "anchor": dict(penalty.anchor)} for penalty in self.penalties
            ]
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over importances and anchors; λ stays this object's."""
        self.penalties = [
            QuadraticPenalty(each["importance"], each["anchor"], self.strength) for each in state["penalties"]
        ]
