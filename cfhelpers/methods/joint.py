"""Train on everything at once: the upper bound that continual learning is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from cfhelpers.methods.base import Method, copy_state
from cfhelpers.tasks.encoding import EncodedTask

if TYPE_CHECKING:
    from datasets import Dataset


class Joint(Method):
    """Restart from the base model and train on all tasks seen so far, shuffled together.

    The i-th restart gets i times one task's steps, which is what the other methods have spent by then. It needs all
    old data, so it is not continual learning; it shows what would be possible.
    """

    name = "joint"
    restarts_from_base = True

    def __init__(self) -> None:
        self.base: dict[str, Tensor] = {}

    def prepare_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Put the base weights back; heads keep their own first values."""
        model = super().prepare_model(model, task)
        state = model.state_dict()
        self.base = copy_state(state | {name: tensor for name, tensor in self.base.items() if name in state})
        model.load_state_dict(self.base)
        return model

    def training_data(self, task: EncodedTask, seen: Sequence[EncodedTask]) -> Dataset:
        """Return all tasks' examples; a smaller task is repeated so that each has an equal share."""
        from datasets import concatenate_datasets

        largest = max(len(each.train) for each in (*seen, task))
        repeated = [each.train.select([row % len(each.train) for row in range(largest)]) for each in (*seen, task)]
        return concatenate_datasets(repeated)

    def training_steps(self, steps: int, seen: Sequence[EncodedTask]) -> int:
        """Return the steps that the other methods have spent on all tasks so far."""
        return steps * (len(seen) + 1)

    def stored_bytes(self) -> int:
        """Return 0: it stores all data instead, which no number of bytes here would describe."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """Return the base weights."""
        return {"base": self.base}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the base weights."""
        self.base = state["base"]
