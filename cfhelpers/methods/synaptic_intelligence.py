"""Synaptic intelligence (Zenke, Poole and Ganguli, 2017)."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from cfhelpers.fisher import Importance
from cfhelpers.fisher.naming import trainable_parameters
from cfhelpers.methods.accumulated import AccumulatedMethod
from cfhelpers.methods.base import bytes_of

logger = logging.getLogger("cfhelpers.methods")


class SynapticIntelligence(AccumulatedMethod):
    """Penalise moving the weights that made the loss fall: (λ/2) Σᵢ Ωᵢ (θᵢ − θ*ᵢ)², measured while training.

    Zenke, Poole and Ganguli (2017, "Continual learning through synaptic intelligence"). During a task each weight
    collects the part of the loss's fall that its own movement brought, the path integral
    ωᵢ = −Σ_steps gᵢ Δθᵢ, with g the gradient of the task's loss alone, before the penalty and before clipping, and Δθ
    what the optimizer really did. At the end of a task (eq. 5) Ωᵢ grows by ωᵢ / ((Δᵢ)² + ξ), with Δᵢ the distance
    travelled in the whole task, and θ*, the anchor, moves to the present weights. Their penalty (eq. 4) is
    c Σᵢ Ωᵢ (θ*ᵢ − θᵢ)²: c is λ/2.

    ω can be negative, where a weight was moved against its own gradient; it then counts as 0, so that a later task
    never takes an earlier one's protection away. (The authors' code clamps the sum over the tasks instead.)
    With noisy gradients ω overestimates a weight's part in the fall.

    The method has to see the training of every task, the first included: a task that was learned plainly cannot be
    shared with it. In trainers of your own, give one object to all of them and end each task with
    ``method.protect(model)``. While it trains it holds the path integral and the weights at the task's
    start, and between gradient and step a copy of both: up to four times the model, beside the importance and the
    anchor.

    Args:
        strength: λ, twice the paper's c.
        damping: ξ > 0, in squared parameter units: keeps Ω finite for weights that hardly moved. The authors' code
            takes 0.001 or 0.1, for networks trained from scratch; where it is far above Δ², as in gentle fine-tuning,
            Ω is ω/ξ, and ξ only scales λ.

    Raises:
        ValueError: ``strength`` is negative or not finite, or ``damping`` is not positive and finite.
    """

    name = "synaptic_intelligence"
    own_first_task = True

    def __init__(self, strength: float, *, damping: float = 1e-3) -> None:
        super().__init__(strength)
        if not (math.isfinite(damping) and damping > 0):
            raise ValueError(f"damping must be a finite number > 0, got {damping}.")
        self.damping = float(damping)
        self._restart()

    def _restart(self) -> None:
        self.n_steps = 0
        self.start: dict[str, Tensor] = {}
        self.path: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}

    @torch.no_grad()
    def after_backward(self, model: nn.Module, scale: float) -> None:
        """Keep the task's own gradient and the weights before the step; then add the penalty's gradient."""
        parameters = trainable_parameters(model)
        if not self.start:
            self.start = {name: parameter.detach().clone() for name, parameter in parameters.items()}
            self.path = {name: torch.zeros_like(start, dtype=torch.float32) for name, start in self.start.items()}
        reached = {name: parameter for name, parameter in parameters.items() if parameter.grad is not None}
        self._before = {name: parameter.detach().clone() for name, parameter in reached.items()}
        self._gradients = {name: parameter.grad.float() / scale for name, parameter in reached.items()}  # pyright: ignore[reportOptionalMemberAccess]  # reached
        super().after_backward(model, scale)

    @torch.no_grad()
    def after_step(self, model: nn.Module) -> None:
        """Add −g Δθ of this step to the path integral."""
        parameters = trainable_parameters(model)
        for name, gradient in self._gradients.items():
            moved = parameters[name].detach().float() - self._before[name].float()
            # An fp16 step that is skipped because a gradient overflowed moves nothing, and 0 · inf is not a number.
            self.path[name] -= gradient.mul_(moved).masked_fill_(moved == 0, 0.0)
        self._gradients, self._before = {}, {}
        self.n_steps += 1

    @torch.no_grad()
    def importance(self, model: nn.Module, batches: Iterable[Any]) -> Importance:
        """Return max(ω, 0) / (Δ² + ξ) of the training just watched; the data are not looked at.

        Returns:
            In nats per squared parameter unit; ``n_examples`` counts the optimizer steps.

        Raises:
            ValueError: No training has been watched since the last task.
        """
        if self.n_steps == 0:
            raise ValueError(
                "SynapticIntelligence measures importance while a task is trained, and it has watched no step: "
                "give it to the trainer of the first task already, or take EWC for a model that is trained."
            )
        parameters = trainable_parameters(model)
        found = {}
        for name, path in self.path.items():
            travelled = parameters[name].detach().float() - self.start[name].float()
            found[name] = path.clamp(min=0) / (travelled.square() + self.damping)
        return Importance(found, n_examples=self.n_steps, variant="path integral")

    def require_ready(self, model: nn.Module) -> None:
        """Refuse a second trainer while the task that the first one trained has not been ended.

        Raises:
            ValueError: Steps were watched and no ``protect`` has followed, or a penalty does not fit the model.
        """
        if self.n_steps:
            raise ValueError(
                f"synaptic_intelligence has watched {self.n_steps} steps of a task that has not ended, and it "
                "penalises nothing of it yet. End the task with method.protect(model) before the next one is trained."
            )
        if not self.penalties:
            logger.warning(
                "synaptic_intelligence penalises nothing during its first task: it measures. End the task with "
                "method.protect(model), and give the same method to the next trainer."
            )
        self.require_fit(model)

    def protect(self, model: nn.Module, batches: Iterable[Any] = ()) -> Self:
        """End a task: add the importance measured during it to the sum, move the anchor, and begin to measure anew.

        Args:
            model: As it stands at the end of the task.
            batches: Not looked at.

        Raises:
            ValueError: No training has been watched since the last task.
        """
        super().protect(model, batches)
        self._restart()
        return self

    def settings(self) -> dict[str, Any]:
        """Return λ and ξ."""
        return {**super().settings(), "damping": self.damping}

    def stored_bytes(self) -> int:
        """Return the size of importance and anchor; the path integral of a task is dropped at its end."""
        return bytes_of(super().state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return importance and anchor, and the measurement of the task in training as it stands between two steps."""
        return {**super().state_dict(), "n_steps": self.n_steps, "start": self.start, "path": self.path}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over importance, anchor and a measurement to go on with."""
        super().load_state_dict(state)
        self.n_steps, self.start, self.path = state["n_steps"], state["start"], state["path"]
