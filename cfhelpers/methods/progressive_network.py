"""A progressive network: a new column for each task beside frozen old ones (Rusu et al., 2016)."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import nn

from cfhelpers.methods.base import Method
from cfhelpers.models.columns import Column, ColumnedModel
from cfhelpers.models.layers import layers_of
from cfhelpers.tasks.encoding import EncodedTask


class ProgressiveNetwork(Method):
    """Learn a narrow column per task that reads the frozen model and all earlier columns; see :class:`Column`.

    The pretrained model is column 0. Nothing that an old task uses changes, so that nothing is forgotten; the k-th
    column has k lateral connections, so that what is stored grows with the square of the number of tasks.

    Args:
        width: Units W of a column's layers.
        learning_rate: Of columns and heads.

    Raises:
        ValueError: A width below 1 or a learning rate that is not positive.
    """

    name = "progressive_network"
    own_first_task = True

    def __init__(self, width: int = 16, *, learning_rate: float = 1e-2) -> None:
        if width < 1 or not learning_rate > 0:
            raise ValueError(f"width must be at least 1 and learning_rate positive, got {width} and {learning_rate}.")
        self.width, self.learning_rate = width, learning_rate
        self.columns: dict[str, Column] = {}

    def prepare_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Freeze everything, then add the task's head and column."""
        bare: Any = super().prepare_model(_without_columns(model), task)
        bare.requires_grad_(False)
        if task.task.kind == "classification":
            bare.heads[task.name].requires_grad_(True)
        if task.name not in self.columns:
            for column in self.columns.values():
                column.requires_grad_(False)
            self.columns[task.name] = self._new_column(bare, task.name)
        return self._up_to(bare, task.name)

    def _new_column(self, bare: Any, name: str) -> Column:
        weight = next(bare.parameters())
        generator = torch.Generator().manual_seed(zlib.crc32(f"column/{getattr(bare, 'seed', 0)}/{name}".encode()))
        column = Column(
            bare.config.hidden_size, len(layers_of(bare)), self.width, len(self.columns), generator=generator
        )
        return column.to(weight.device, weight.dtype)

    def _up_to(self, bare: nn.Module, name: str) -> ColumnedModel:
        names = list(self.columns)
        view = ColumnedModel(bare, [self.columns[each] for each in names[: names.index(name) + 1]])
        view.training = bare.training  # of the view alone: what it shares has a mode of its own
        return view

    def prediction_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Return the model with the columns up to the task's own; with none while it has not been learned."""
        bare = _without_columns(model)
        return self._up_to(bare, task.name) if task.name in self.columns else bare

    def settings(self) -> dict[str, Any]:
        """Return width and rate."""
        return {"width": self.width, "learning_rate": self.learning_rate}

    def state_dict(self) -> dict[str, Any]:
        """Return every column by its task's name, in the order of arrival."""
        return {"columns": {name: dict(column.state_dict()) for name, column in self.columns.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over columns; those that a model has already are filled in place."""
        for name, tensors in state["columns"].items():
            if name not in self.columns:
                n_layers = sum(key.startswith("from_model.") and key.endswith(".bias") for key in tensors)
                width = len(tensors["from_model.0.bias"])
                column = Column(len(tensors["output.bias"]), n_layers, width, len(self.columns))
                self.columns[name] = column.to(tensors["output.bias"])
            self.columns[name].load_state_dict(tensors)


def _without_columns(model: nn.Module) -> nn.Module:
    return model.base if isinstance(model, ColumnedModel) else model
