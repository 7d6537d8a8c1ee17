"""Freeze the embeddings and the bottom layers: the cheapest isolation of all."""

from __future__ import annotations

from typing import Any

from torch import nn

from cfhelpers.methods.base import Method
from cfhelpers.models.classifier import MultiTaskClassifier
from cfhelpers.models.layers import embeddings_of, layers_of
from cfhelpers.tasks.encoding import EncodedTask


class FreezeBottom(Method):
    """Hold the embeddings and the lowest layers still while later tasks are learned.

    Zheng et al. (2025, arXiv 2501.13453) found that most of what a language model seems to forget is the alignment of
    its bottom layers with the task, and that freezing these keeps it. As there, the first task is learned with all
    weights. With ``layers=None`` and ``first_task_too`` a classifier learns its heads alone: what the untouched encoder
    knows already, the honest baseline for prompts and adapters.

    Args:
        layers: How many, from the bottom; 0 freezes the embeddings alone, None an encoder's whole body.
        first_task_too: Freeze from the first task on.
        learning_rate: Of heads on a frozen body; None takes the plan's.

    Raises:
        ValueError: A negative number of layers, or a learning rate that is not positive.
    """

    name = "freeze_bottom"

    def __init__(
        self, layers: int | None = None, *, first_task_too: bool = False, learning_rate: float | None = None
    ) -> None:
        if layers is not None and layers < 0:
            raise ValueError(f"layers must be a number ≥ 0 or None for all, got {layers}.")
        if learning_rate is not None and not learning_rate > 0:
            raise ValueError(f"learning_rate must be positive or None, got {learning_rate}.")
        self.layers, self.first_task_too, self.learning_rate = layers, first_task_too, learning_rate
        self.own_first_task = first_task_too
        self.has_learned = False

    def prepare_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Freeze what is to be frozen by now.

        Raises:
            ValueError: The model has fewer layers, or would have nothing left to learn with.
        """
        model = super().prepare_model(model, task)
        if not (self.first_task_too or self.has_learned):
            return model
        layers = layers_of(model)
        if self.layers is not None and self.layers > len(layers):
            raise ValueError(f"There are {len(layers)} layers, fewer than the {self.layers} to be frozen.")
        if self.layers is None:
            if not isinstance(model, MultiTaskClassifier):
                raise ValueError("A language model without heads has nothing left to learn if all of it is frozen.")
            model.body.requires_grad_(False)
            return model
        for module in (*embeddings_of(model), *layers[: self.layers]):
            module.requires_grad_(False)
        return model

    def require_ready(self, model: nn.Module) -> None:
        """Refuse a trainer of one's own with a model of which nothing is frozen.

        Raises:
            ValueError: Every parameter of the model would be trained.
        """
        if all(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError(
                f"{self.name} has frozen nothing of this model: let cf.learn_sequence call its hooks, or call "
                "prepare_model(model, task) with first_task_too=True before training."
            )

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Freeze from now on."""
        self.has_learned = True

    def settings(self) -> dict[str, Any]:
        """Return what is frozen, since when, and the rate."""
        return {"layers": self.layers, "first_task_too": self.first_task_too, "learning_rate": self.learning_rate}

    def state_dict(self) -> dict[str, Any]:
        """Return whether a task has been learned."""
        return {"has_learned": self.has_learned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over whether a task has been learned."""
        self.has_learned = state["has_learned"]
