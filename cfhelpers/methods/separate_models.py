"""One whole model per task: the dearest isolation, and the reference that forward transfer is measured against."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from cfhelpers.methods.base import Method, copy_state
from cfhelpers.tasks.encoding import EncodedTask


class SeparateModels(Method):
    """Train all weights of an untouched model on each task by itself, and keep every model.

    Nothing is forgotten and nothing transferred; whoever asks has to say the task. Its scores are those of learning one
    task alone with the plan's budget.
    """

    name = "separate_models"
    restarts_from_base = True
    # Which is learned plainly; but whoever goes on from a shared first task gets the untouched model in its place.
    own_first_task = True

    def __init__(self) -> None:
        self.base: dict[str, Tensor] = {}
        self.models: dict[str, dict[str, Tensor]] = {}

    def prepare_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Put the base weights back; heads keep their own first values."""
        model = super().prepare_model(model, task)
        state = model.state_dict()
        if not self.base:
            self.base = copy_state(state)
        model.load_state_dict({**state, **self.base})
        return model

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Keep the model."""
        self.models[task.name] = copy_state(model.state_dict())

    def prediction_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Return the task's own model."""
        if task.name not in self.models:
            return model
        own = copy.deepcopy(model)
        own.load_state_dict({**own.state_dict(), **self.models[task.name]})
        return own

    def state_dict(self) -> dict[str, Any]:
        """Return the base weights and every kept model."""
        return {"base": self.base, "models": self.models}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over base weights and models."""
        self.base, self.models = state["base"], state["models"]
