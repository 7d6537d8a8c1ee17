"""Keep a few old examples and mix them in (experience replay; Robins, 1995; Chaudhry et al., 2019)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cfhelpers.methods.base import Method
from cfhelpers.tasks.encoding import EncodedTask

if TYPE_CHECKING:
    from datasets import Dataset


class Replay(Method):
    """Train on the new task mixed with a small sample of each old task's training examples.

    Args:
        buffer_size: Training examples kept of each task, drawn without replacement.
        share: Share of the training examples that come from the buffer, between 0 and 1.
        seed: Of the draw.

    Raises:
        ValueError: A buffer below 1 example or a share outside (0, 1).
    """

    name = "replay"

    def __init__(self, buffer_size: int, *, share: float = 0.5, seed: int = 0) -> None:
        if buffer_size < 1:
            raise ValueError(f"buffer_size must be at least 1 example, got {buffer_size}.")
        if not 0 < share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {share}.")
        self.buffer_size, self.share, self.seed = buffer_size, share, seed
        self.kept: dict[str, list[dict[str, Any]]] = {}

    def training_data(self, task: EncodedTask, seen: Sequence[EncodedTask]) -> Dataset:
        """Return the new examples and so many repetitions of the buffer that it makes up ``share`` of the whole."""
        if not self.kept:
            return task.train
        from datasets import Dataset, concatenate_datasets

        buffer = [example for examples in self.kept.values() for example in examples]
        wanted = round(len(task.train) * self.share / (1 - self.share))
        rows = [buffer[row % len(buffer)] for row in range(wanted)]
        return concatenate_datasets([task.train, Dataset.from_list(rows, features=task.train.features)])

    def after_task(self, model: Any, task: EncodedTask) -> None:
        """Keep a sample of the training split, never of validation or test."""
        rows = random.Random(f"{self.seed}-{task.name}").sample(
            range(len(task.train)), min(self.buffer_size, len(task.train))
        )
        self.kept[task.name] = [task.train[row] for row in rows]

    def settings(self) -> dict[str, Any]:
        """Return the buffer's size and its share of the training examples."""
        return {"buffer_size": self.buffer_size, "share": self.share}

    def stored_bytes(self) -> int:
        """Return the size of the buffer at 8 bytes a token id or label."""
        examples = [example for kept in self.kept.values() for example in kept]
        per_token = [example["labels"] if isinstance(example["labels"], list) else [0] for example in examples]
        return 8 * sum(
            len(example["input_ids"]) + len(labels) for example, labels in zip(examples, per_token, strict=True)
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer."""
        return {"kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a buffer."""
        self.kept = state["kept"]
