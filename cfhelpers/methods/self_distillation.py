"""Self-distillation: keep saying what one used to say, about texts that one wrote oneself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from cfhelpers.evaluation.generation import own_texts
from cfhelpers.methods.base import Method, bytes_of
from cfhelpers.methods.divergence import Direction, check_settings, predictions
from cfhelpers.methods.kept_outputs import KeptOutputs
from cfhelpers.tasks.encoding import IGNORED, Batch, EncodedTask


class SelfDistillation(Method):
    """Add strength · T² · KL between the old and the new model's predictions for the *old model's own texts*.

    After a task the model writes a few texts. While the next task is learned, as many of them go along as there are
    new examples, and at each of their tokens the model should predict what it predicted when it wrote them. No old
    data are needed, and no copy of the old model: its outputs for these texts are computed once and kept.

    The extra loss is a sum over the texts' tokens, divided as the task's own loss is by the number of the new task's
    targets.

    Args:
        strength: Weight beside the task's loss.
        count: Texts that the model writes after each task.
        length: Longest of them, in tokens.
        start: Ids that every text begins with, such as a chat template's; None takes what all training examples of
            the task just learned begin with, or else the end-of-sequence token.
        temperature: T of the softened predictions.
        direction: "forward": KL(old ‖ new). "reverse": KL(new ‖ old).
        top_k: Outcomes of the old model that are kept at every token.
        seed: Of the texts.

    Raises:
        ValueError: A negative strength, a temperature that is not positive, an unknown direction, or a count or
            ``top_k`` below 1.
    """

    name = "self_distillation"

    def __init__(
        self,
        strength: float,
        *,
        count: int = 128,
        length: int = 32,
        start: Sequence[int] | None = None,
        temperature: float = 1.0,
        direction: Direction = "forward",
        top_k: int = 32,
        seed: int = 0,
    ) -> None:
        check_settings(strength, temperature, direction)
        if count < 1 or top_k < 1:
            raise ValueError(f"count and top_k must be at least 1, got {count} and {top_k}.")
        self.strength, self.temperature, self.top_k = float(strength), float(temperature), top_k
        self.count, self.length, self.seed = count, length, seed
        self.start = None if start is None else list(start)
        self.direction: Direction = direction
        self.texts: Batch = {}
        self.kept: KeptOutputs | None = None
        self.next_text = 0

    def protect(self, model: nn.Module, batches: Iterable[Batch] = ()) -> Self:
        """Let the model, as it stands now, write its texts, and keep what it predicts in them.

        Args:
            model: A causal language model with ``generate``.
            batches: Examples of what it has learned, for their common beginning; not needed with ``start``.

        Raises:
            ValueError: The model does not say with which token a text ends.
        """
        start = self.start or common_beginning(batches)
        written = own_texts(model, self.count, length=self.length, seed=self.seed, start=start or None)
        self.texts = _joined(written, self.length)
        self.kept = KeptOutputs.of(model, written, top_k=self.top_k, temperature=self.temperature, heads=None)
        self.next_text = 0
        return self

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Write the texts that speak of this task and of all before it.

        Raises:
            ValueError: The task is a classification, whose model writes nothing.
        """
        if task.task.kind == "classification":
            raise ValueError("SelfDistillation needs a model that writes; for a classifier take LwF.")
        self.protect(model, task.batches("train"))

    def extra_loss(self, model: nn.Module, inputs: Batch, outputs: Any, num_items: Tensor) -> Tensor | None:
        """Return strength · T² · the divergence summed over the tokens of as many texts as there are new examples."""
        if self.kept is None:
            return None
        rows = [number % self.count for number in range(self.next_text, self.next_text + len(inputs["labels"]))]
        self.next_text = (rows[-1] + 1) % self.count
        longest = int(self.texts["attention_mask"][rows].sum(dim=1).max())
        device = inputs["input_ids"].device
        batch = {name: tensor[rows, :longest].to(device) for name, tensor in self.texts.items()}
        student = predictions(model, batch, None, None)
        return self.strength * self.kept.divergence(student, batch, self.direction)[0].sum() / num_items

    def settings(self) -> dict[str, Any]:
        """Return what the texts and the loss depend on."""
        names = ("strength", "count", "length", "start", "temperature", "direction", "top_k", "seed")
        return {name: getattr(self, name) for name in names if name != "start" or self.start is not None}

    def stored_bytes(self) -> int:
        """Return the size of the texts and of the kept outputs."""
        return bytes_of(self.texts) + (0 if self.kept is None else self.kept.stored_bytes())

    def state_dict(self) -> dict[str, Any]:
        """Return the texts, the kept outputs, and which text comes next."""
        kept = None if self.kept is None else self.kept.state_dict()
        return {"texts": self.texts, "kept": kept, "next_text": self.next_text}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self.texts = {name: tensor.cpu() for name, tensor in state["texts"].items()}
        self.kept = None if state["kept"] is None else KeptOutputs.from_state(state["kept"])
        self.next_text = state["next_text"]


def common_beginning(batches: Iterable[Batch]) -> list[int]:
    """Return the ids with which all rows begin; empty if they begin differently."""
    shared: list[int] | None = None
    for batch in batches:
        for row in batch["input_ids"].tolist():
            own = row if shared is None else shared
            shared = row[: next((i for i, (a, b) in enumerate(zip(own, row, strict=False)) if a != b), len(own))]
    return shared or []


def _joined(batches: Sequence[Batch], length: int) -> Batch:
    """Join batches of texts, each as wide as its longest, to one of one width."""
    fillers = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED}

    def widened(tensor: Tensor, filler: int) -> Tensor:
        return nn.functional.pad(tensor.cpu(), (0, length - tensor.shape[1]), value=filler)

    return {name: torch.cat([widened(each[name], filler) for each in batches]) for name, filler in fillers.items()}
