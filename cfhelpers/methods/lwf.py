"""Learning without forgetting: stay close to the old model's predictions on the new data (Li & Hoiem, 2016)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from cfhelpers.methods.base import Method, bytes_of, copy_state
from cfhelpers.methods.divergence import Direction, check_settings, divergence, predictions
from cfhelpers.methods.kept_outputs import KeptOutputs
from cfhelpers.models.copying import frozen_copy
from cfhelpers.tasks.encoding import Batch, EncodedTask

if TYPE_CHECKING:
    from datasets import Dataset


class LwF(Method):
    """Add strength · T² · KL between the old model's and the new one's softened predictions for the new task's inputs.

    A causal language model is compared with its old self at every target of the new task, token by token. A classifier
    with a head for each task answers the new texts with its *old* heads, as in the paper. Reverse KL at T = 1 is the
    term that fine-tuning by reinforcement calls "KL to the reference model".

    No old data are needed. The teacher is the model as it stood after the last task; it is copied, frozen and asked in
    evaluation mode.

    Args:
        strength: Weight beside the task's loss.
        temperature: T; 2 in the paper.
        direction: "forward": KL(old ‖ new), as in the paper. "reverse": KL(new ‖ old).
        top_k: Ask the teacher once about the whole training set, keep its k most probable outcomes at every target,
            and let it go. None keeps the teacher and asks it at every step.

    Raises:
        ValueError: A negative strength, a temperature that is not positive, an unknown direction, ``top_k`` below 1.
    """

    name = "lwf"

    def __init__(
        self, strength: float, *, temperature: float = 2.0, direction: Direction = "forward", top_k: int | None = None
    ) -> None:
        check_settings(strength, temperature, direction)
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must keep at least 1 token, got {top_k}.")
        self.strength, self.temperature, self.top_k = float(strength), float(temperature), top_k
        self.direction: Direction = direction
        self.teacher: nn.Module | None = None
        self.kept: KeptOutputs | None = None
        self._weights: dict[str, Tensor] | None = None  # of a teacher that has to be built again

    def protect(self, model: nn.Module, batches: Iterable[Batch] = ()) -> Self:
        """Take the model as it stands for a teacher.

        Args:
            model: Copied; changing it later does not change the teacher.
            batches: The data that will be trained on next, with labels: needed with ``top_k``, else not looked at.

        Raises:
            ValueError: With ``top_k``, there are no batches.
        """
        self.teacher, self.kept, self._weights = frozen_copy(model), None, None
        return self if self.top_k is None else self.keep(batches)

    def keep(self, batches: Iterable[Batch]) -> Self:
        """Ask the teacher about the data to be trained on, keep what it says, and let it go.

        Raises:
            ValueError: There is no teacher, ``top_k`` was not given, or there are no batches.
        """
        if self.teacher is None or self.top_k is None:
            raise ValueError("keep needs a teacher (call protect first) and the number top_k of outcomes to keep.")
        self.kept = KeptOutputs.of(
            self.teacher, batches, top_k=self.top_k, temperature=self.temperature, heads=_heads(self.teacher)
        )
        self.teacher = None
        return self

    def training_data(self, task: EncodedTask, seen: Sequence[EncodedTask]) -> Dataset:
        """Keep the teacher's outputs for the new task, if asked to; the data are the task's own."""
        if self.top_k is not None and self.teacher is not None:
            self.keep(task.batches("train"))
        return task.train

    def extra_loss(self, model: nn.Module, inputs: Batch, outputs: Any, num_items: Tensor) -> Tensor | None:
        """Return strength · T² · the divergence summed over this micro-batch's targets, over ``num_items``."""
        teacher = self.teacher_for(model, inputs)
        if self.kept is not None:
            student = predictions(model, inputs, outputs.logits, self.kept.heads)
            parts = self.kept.divergence(student, inputs, self.direction)
        elif teacher is not None:
            heads = _heads(teacher)
            with torch.no_grad():
                wanted = predictions(teacher, inputs, None, heads)
            student = predictions(model, inputs, outputs.logits, heads)
            parts = [
                divergence(one, other, temperature=self.temperature, direction=self.direction)
                for one, other in zip(student, wanted, strict=True)
            ]
        else:
            return None
        return self.strength * torch.stack([part.sum() for part in parts]).sum() / num_items

    def teacher_for(self, model: nn.Module, inputs: Batch) -> nn.Module | None:
        """Return the teacher, if there is one, where the batch is; after a resume it is built on the model."""
        if self._weights is not None:
            self.teacher, self._weights = _rebuilt(model, self._weights), None
        return None if self.teacher is None else self.teacher.to(inputs["input_ids"].device)

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Take the model at the end of the task for the next one's teacher."""
        self.teacher, self.kept, self._weights = frozen_copy(model), None, None

    def settings(self) -> dict[str, Any]:
        """Return strength, temperature, direction and what is kept."""
        found = {"strength": self.strength, "temperature": self.temperature, "direction": self.direction}
        return found if self.top_k is None else {**found, "top_k": self.top_k}

    def stored_bytes(self) -> int:
        """Return the size of the teacher, tied weights once, or of its kept outputs."""
        if self.kept is not None:
            return self.kept.stored_bytes()
        if self.teacher is not None:
            return bytes_of(list(self.teacher.parameters()))
        return bytes_of(list({tensor.data_ptr(): tensor for tensor in (self._weights or {}).values()}.values()))

    def state_dict(self) -> dict[str, Any]:
        """Return the teacher's weights, or its kept outputs."""
        weights = self._weights if self.teacher is None else copy_state(self.teacher.state_dict())
        return {"teacher": weights, "kept": None if self.kept is None else self.kept.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a teacher or kept outputs; the teacher is built at the next step, on the model in training."""
        self.teacher, self._weights = None, state["teacher"]
        self.kept = None if state["kept"] is None else KeptOutputs.from_state(state["kept"])


def _heads(teacher: nn.Module) -> list[str] | None:
    """Return the names of a teacher's heads, if it has several by name."""
    heads = getattr(teacher, "heads", None)
    return list(heads) if isinstance(heads, nn.ModuleDict) else None


def _rebuilt(model: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """Return a teacher of the model's kind with other weights; heads that came after it are left out."""
    teacher = frozen_copy(model)
    for name in _heads(teacher) or []:
        if not any(key.startswith(f"heads.{name}.") for key in weights):
            del teacher.heads[name]  # pyright: ignore[reportArgumentType, reportCallIssue, reportIndexIssue]  # a ModuleDict
    teacher.load_state_dict(weights)
    return teacher
