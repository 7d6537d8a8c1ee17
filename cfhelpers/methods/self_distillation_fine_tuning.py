"""Self-distillation fine-tuning: learn from one's old self, who has the right answer before the question."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cfhelpers.evaluation.generation import write_on
from cfhelpers.fisher.naming import unwrap_model
from cfhelpers.methods.divergence import divergence, is_target, predictions, target_logits
from cfhelpers.methods.lwf import LwF
from cfhelpers.tasks.encoding import IGNORED, Batch, Collator, EncodedTask


class SelfDistillationFineTuning(LwF):
    """Replace the task's loss by KL(new ‖ old with the answer shown), on answers that the new model writes itself.

    At every step the model answers the batch's questions in its own words. The teacher is the model as it stood before
    this task; it reads the question with its right answer, then the question again, and says how probable it finds
    each token that was written ("SDFT", arXiv 2601.19897, section 3, with a teacher that stays). What the model already
    says and the teacher accepts is left alone. It takes a model that learns from what stands in its prompt.

    Each answer's mean over its tokens counts as much as the right answer's tokens would have. The plain loss is
    subtracted again: under label smoothing or a loss of one's own something of it would remain.

    Args:
        length: Longest answer, in tokens.

    Raises:
        ValueError: ``length`` is below 1.
    """

    name = "sdft"

    def __init__(self, *, length: int = 24) -> None:
        super().__init__(1.0, temperature=1.0, direction="reverse")
        if length < 1:
            raise ValueError(f"length must be at least 1 token, got {length}.")
        self.length = length

    def extra_loss(self, model: nn.Module, inputs: Batch, outputs: Any, num_items: Tensor) -> Tensor | None:
        """Return the divergence on answers written now, minus the plain loss on this micro-batch, over ``num_items``.

        Raises:
            ValueError: A row has no question: its first token is a target, or it has no target at all.
        """
        teacher = self.teacher_for(model, inputs)
        if teacher is None:
            return None
        rows, questions = _rows_and_questions(inputs)
        written = write_on(unwrap_model(model), questions, length=self.length)
        with torch.no_grad():
            shown = [row + question for row, question in zip(rows, questions, strict=True)]
            wanted = _predicted(teacher, shown, written)
        nats = divergence(_predicted(model, questions, written), wanted, direction=self.direction)
        means = torch.stack([part.mean() for part in nats.split([len(answer) for answer in written])])
        labels, targets = inputs["labels"], is_target(inputs["labels"])
        logits = target_logits(outputs.logits, labels).float()
        plain = nn.functional.cross_entropy(logits, labels[:, 1:][targets], reduction="sum")
        return ((means * targets.sum(dim=1)).sum() - plain) / num_items

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Take the model at the end of the task for the next one's teacher.

        Raises:
            ValueError: The task has no questions and answers.
        """
        if task.task.kind != "dialogue":
            raise ValueError(f"{self.name} answers questions: it needs tasks of dialogue, and {task.name!r} is none.")
        super().after_task(model, task)

    def settings(self) -> dict[str, Any]:
        """Return the length."""
        return {"length": self.length}


def _rows_and_questions(inputs: Batch) -> tuple[list[list[int]], list[list[int]]]:
    """Return each row's ids without padding, and what of it stands before the first target."""
    rows, questions = [], []
    for ids, real, labels in zip(inputs["input_ids"], inputs["attention_mask"], inputs["labels"], strict=True):
        targets = (labels[real.bool()] != IGNORED).nonzero().flatten().tolist() if labels.dim() else []
        if not targets or targets[0] == 0:
            raise ValueError("sdft needs rows of a question (labels −100) and then an answer (labels as the ids).")
        rows.append(ids[real.bool()].tolist())
        questions.append(rows[-1][: targets[0]])
    return rows, questions


def _predicted(model: nn.Module, beginnings: list[list[int]], written: list[list[int]]) -> Tensor:
    """Return a model's logits ``[N, V]`` for what was written after each beginning, answer by answer."""
    examples = [
        {"input_ids": beginning + answer, "labels": [IGNORED] * len(beginning) + answer}
        for beginning, answer in zip(beginnings, written, strict=True)
    ]
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in Collator(0)(examples).items()}
    return predictions(model, batch, None, None)[0]
