"""One encoder with one named classification head for each task."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput


class ClassificationHead(nn.Module):
    """Linear, tanh, dropout, linear: the head of RoBERTa, applied to a mean-pooled sentence.

    Args:
        width: Width D of the encoder.
        num_labels: Number of classes C.
        dropout: Probability of dropping a hidden unit while training.
        generator: Source of the initial weights, so that a head does not depend on what was drawn before it.
    """

    def __init__(self, width: int, num_labels: int, *, dropout: float, generator: torch.Generator) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.dense = _linear(width, width, generator)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = _linear(width, num_labels, generator)

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``[B, D]`` to logits ``[B, C]``."""
        return self.out_proj(self.dropout(torch.tanh(self.dense(features))))


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    # The ordinary constructor would draw from the global random stream and shift everything after it.
    linear = cast("nn.Linear", nn.utils.skip_init(nn.Linear, inputs, outputs))
    nn.init.xavier_uniform_(linear.weight, generator=generator)
    nn.init.zeros_(linear.bias)
    return linear


class MultiTaskClassifier(nn.Module):
    """A pretrained encoder (``body``) and one :class:`ClassificationHead` per task (``heads``, in order of arrival).

    A sentence is the mean of its token states under the attention mask. The model says which head to use by
    ``task_ids``, so evaluating an old task with its old head assumes that somebody knows the task.

    Args:
        body: An encoder as ``AutoModel`` gives it, without a pooling layer.
        seed: Fixes the initial weights of every head, together with the head's name.
    """

    def __init__(self, body: PreTrainedModel, *, seed: int = 0) -> None:
        super().__init__()
        self.body = body
        self.heads = nn.ModuleDict()
        self.seed = seed

    @property
    def config(self) -> PreTrainedConfig:
        """The encoder's configuration, where the Trainer and peft look for it."""
        return self.body.config

    @property
    def device(self) -> torch.device:
        """Where the encoder's weights are."""
        return next(self.body.parameters()).device

    @property
    def task_names(self) -> list[str]:
        """Names of the heads; ``task_ids`` are positions in this list."""
        return list(self.heads)

    def add_head(self, name: str, num_labels: int) -> ClassificationHead:
        """Add a freshly initialised head; its weights depend on the model's seed and on ``name`` only.

        Args:
            name: Name of the task; without dots, because it becomes part of the parameters' names.
            num_labels: Number of classes C.

        Raises:
            ValueError: The name is taken or has a dot, or there are fewer than two classes.
        """
        if name in self.heads:
            raise ValueError(f"There already is a head named {name!r}; heads: {self.task_names}.")
        if not name or "." in name:
            raise ValueError(f"A head's name must not be empty or contain a dot, got {name!r}.")
        if num_labels < 2:
            raise ValueError(f"A classification head needs at least two classes, got {num_labels} for {name!r}.")
        config = self.config
        dropout = getattr(config, "classifier_dropout", None)
        head = ClassificationHead(
            config.hidden_size,
            num_labels,
            dropout=config.hidden_dropout_prob if dropout is None else dropout,
            generator=torch.Generator().manual_seed(zlib.crc32(f"{self.seed}/{name}".encode())),
        )
        parameter = next(self.body.parameters())
        self.heads[name] = head.to(parameter.device, parameter.dtype).train(self.training)
        return head

    def features(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **inputs: Any) -> Tensor:
        """Mean of the token states under the attention mask.

        Args:
            input_ids: Shape ``[B, T]``; or give ``inputs_embeds`` ``[B, T, D]`` instead.
            attention_mask: Shape ``[B, T]``, 0 on padding; all ones if not given.
            **inputs: Passed on to the encoder.

        Returns:
            Shape ``[B, D]``.
        """
        states = self.body(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        if attention_mask is None:
            return states.mean(dim=1)
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        task_ids: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **inputs: Any,
    ) -> SequenceClassifierOutput:
        """Classify a batch whose examples may belong to different tasks.

        Args:
            input_ids: Shape ``[B, T]``.
            attention_mask: Shape ``[B, T]``, 0 on padding.
            labels: Shape ``[B]``; -100 takes an example out of the loss.
            task_ids: Shape ``[B]``, positions in :attr:`task_names`; the head added last if not given.
            num_items_in_batch: Number of labelled examples in the whole optimizer step. If given, the loss is the
                sum over examples divided by it, so that accumulated micro-batches add up to one large batch.
            **inputs: Passed on to the encoder (``inputs_embeds``, ``token_type_ids``, …).

        Returns:
            ``loss`` (mean cross-entropy in nats, or as said above; None without labels) and ``logits`` ``[B, C]``.
            In a batch of several tasks C is that of the largest head among them, and the columns that a task does
            not have are -inf: their probability and their gradient are zero.

        Raises:
            ValueError: There is no head, a task id has no head, or a label lies outside its head's classes.
        """
        from transformers.modeling_outputs import SequenceClassifierOutput

        features = self.features(input_ids, attention_mask, **inputs)
        groups = self._group_by_head(task_ids)
        logits = [head(features if rows is None else features[rows]) for head, rows in groups]
        loss = None
        if labels is not None:
            parts = [labels if rows is None else labels[rows] for _, rows in groups]
            total = torch.stack(
                [_summed_cross_entropy(one, part) for one, part in zip(logits, parts, strict=True)]
            ).sum()
            loss = total / ((labels != -100).sum() if num_items_in_batch is None else num_items_in_batch)
        return SequenceClassifierOutput(loss=loss, logits=_assemble(logits, [rows for _, rows in groups]))

    def _group_by_head(self, task_ids: Tensor | None) -> list[tuple[nn.Module, Tensor | None]]:
        """Pair each head in use with its rows of the batch; None means all rows, as they stand."""
        heads = list(self.heads.values())
        if not heads:
            raise ValueError("The classifier has no head yet: call add_head(name, num_labels) first.")
        if task_ids is None:
            return [(heads[-1], None)]
        present = task_ids.unique().tolist()
        if present[0] < 0 or present[-1] >= len(heads):
            raise ValueError(f"task_ids {present} must be positions in the list of heads {self.task_names}.")
        if len(present) == 1:
            return [(heads[present[0]], None)]
        return [(heads[task], (task_ids == task).nonzero().squeeze(1)) for task in present]


def _summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of -log p(label) over labelled examples, in nats; out-of-range labels would crash a GPU without a word."""
    highest = int(labels.max())
    if highest >= logits.shape[-1]:
        raise ValueError(
            f"Label {highest} does not fit a head with {logits.shape[-1]} classes. "
            "Without task_ids the head added last is used: is it the right one?"
        )
    return nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")


def _assemble(logits: list[Tensor], rows: list[Tensor | None]) -> Tensor:
    """Put each head's logits into its rows of one tensor ``[B, C]``, -inf where a head has fewer classes."""
    if rows[0] is None:
        return logits[0]
    size = sum(part.shape[0] for part in logits)
    together = logits[0].new_full((size, max(part.shape[1] for part in logits)), -torch.inf)
    for part, index in zip(logits, rows, strict=True):
        together[index, : part.shape[1]] = part
    return together
