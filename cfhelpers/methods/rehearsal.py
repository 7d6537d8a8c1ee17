"""What A-GEM and dark experience replay share: a batch of kept old examples, drawn anew at every optimizer step."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cfhelpers.methods.base import Method, bytes_of
from cfhelpers.methods.mixing import Row, draw_rows, has_target, plain_rows, reservoir_sample, stored_bytes
from cfhelpers.tasks.encoding import IGNORED, Batch, Collator, EncodedTask

_KNOWN = {"input_ids", "attention_mask", "labels", "task_ids"}


class RehearsalMethod(Method):
    """Keeps training examples of each old task and looks at a few of them once per optimizer step.

    The old batch is looked at after the backward pass of the whole step, so that gradient accumulation changes
    nothing. Which rows a step gets depends on the seed and the number of the step alone: a resumed run gets the same.

    Args:
        buffer_size: Training examples kept of each task, drawn without replacement.
        batch_size: Old examples looked at in one step, as many of each task as of any other ± 1.
        seed: Of both draws.

    Raises:
        ValueError: ``buffer_size`` or ``batch_size`` is below 1.
    """

    def __init__(self, buffer_size: int, *, batch_size: int = 16, seed: int = 0) -> None:
        if buffer_size < 1 or batch_size < 1:
            raise ValueError(f"buffer_size and batch_size must be at least 1, got {buffer_size} and {batch_size}.")
        self.buffer_size, self.batch_size, self.seed = buffer_size, batch_size, seed
        self.kept: dict[str, list[Row]] = {}
        self.draws = 0

    def remember(self, model: nn.Module, name: str, rows: list[Row]) -> None:
        """Keep the rows drawn from one old task; ``model`` stands at its end."""
        self.kept[name] = rows

    def protect(self, model: nn.Module, batches: Iterable[Mapping[str, Tensor]], name: str = "old data") -> None:
        """Keep a uniform sample of the examples in Hugging Face batches.

        Args:
            model: As it stands before it learns something else.
            batches: With ``input_ids``, ``labels`` and, where there is padding, ``attention_mask``. Training data
                only: a test example in here makes every later score of it worthless.
            name: One for each old task; those of one name are replaced.

        Raises:
            ValueError: There are no examples with a target, or a batch has no labels or inputs of an unknown kind.
        """
        generator = random.Random(f"{self.seed}-{name}")
        rows = reservoir_sample(rows_of(batches), self.buffer_size, generator)
        if not rows:
            raise ValueError(
                "there are no old examples to keep: batches is empty, or every label in it is −100, so that nothing is "
                "predicted."
            )
        self.remember(model, name, rows)

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Keep a sample of the training split, never of validation or test."""
        numbers = draw_rows(len(task.train), self.buffer_size, task.name, self.seed)
        self.remember(model, task.name, plain_rows(task.train, numbers))

    def mix(self, dataset: Any) -> Any:
        """Return the new data as they are: old examples come beside them, not among them.

        Raises:
            ValueError: Nothing is kept yet.
        """
        if not self.kept:
            raise ValueError(
                f"this {type(self).__name__} keeps no old examples yet: make it with "
                f"{type(self).__name__}.from_data(model, old_batches, buffer_size=…)."
            )
        return dataset

    def old_batch(self, device: torch.device | str) -> tuple[Batch, list[Row]]:
        """Draw the next old batch and the rows that it was made of, in its order."""
        generator = random.Random(f"{self.seed}-{self.draws}")
        self.draws += 1
        names = generator.sample(sorted(self.kept), len(self.kept))
        sizes = [len(range(place, self.batch_size, len(names))) for place in range(len(names))]
        rows = [
            row
            for name, size in zip(names, sizes, strict=True)
            for row in generator.sample(self.kept[name], min(size, len(self.kept[name])))
        ]
        return {name: tensor.to(device) for name, tensor in Collator(0)(rows).items()}, rows

    @contextmanager
    def alike_in_all_processes(self, device: torch.device) -> Iterator[None]:
        """Drop the same units in all processes, if there are several, while the last old batch drawn is looked at.

        What is done to the gradients comes after they were averaged: with a dropout of its own, each process would
        take another step, and their weights would drift apart.
        """
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            yield
            return
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(random.Random(f"{self.seed}-{self.draws}-dropout").getrandbits(63))
            yield

    def settings(self) -> dict[str, Any]:
        """Return the sizes of buffer and batch."""
        return {"buffer_size": self.buffer_size, "batch_size": self.batch_size}

    def stored_bytes(self) -> int:
        """Return the size of the buffer, token ids and labels at 8 bytes each, and of tensors kept with them."""
        return stored_bytes(self.kept) + bytes_of(self.kept)

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer and how often it was drawn from."""
        return {"kept": self.kept, "draws": self.draws}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a buffer."""
        self.kept, self.draws = state["kept"], state["draws"]


def rows_of(batches: Iterable[Mapping[str, Tensor]]) -> Iterable[Row]:
    """Yield the examples of Hugging Face batches that have a target, without their padding.

    Raises:
        ValueError: A batch has no labels or inputs of an unknown kind.
    """
    for batch in batches:
        names = set(batch) if isinstance(batch, Mapping) else set()
        if not {"input_ids", "labels"} <= names or names - _KNOWN:
            what = ", ".join(sorted(names)) if names else type(batch).__name__
            raise ValueError(
                f"a batch needs input_ids and labels, and may have attention_mask and task_ids; got {what}. Batches "
                "are what a data collator makes: list(DataLoader(dataset, batch_size=16, collate_fn=collator))."
            )
        ids, labels = batch["input_ids"].cpu(), batch["labels"].cpu()
        real = batch.get("attention_mask", torch.ones_like(ids)).cpu().bool()
        for row in range(len(ids)):
            example: Row = {"input_ids": ids[row][real[row]].tolist()}
            example["labels"] = labels[row][real[row]].tolist() if labels.dim() > 1 else int(labels[row])
            if "task_ids" in batch:
                example["task_ids"] = int(batch["task_ids"][row])
            if has_target(example):
                yield example


def at_targets(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logits where something is predicted: [targets, V] of a language model, [B, C] of a classifier."""
    if labels.dim() == 1:
        return logits
    return logits[:, :-1][labels[:, 1:] != IGNORED]
