"""A teacher's outputs for a fixed data set, computed once: the teacher itself need not stay in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from cfhelpers.evaluation.scores import evaluating
from cfhelpers.methods.base import bytes_of
from cfhelpers.methods.divergence import Direction, predictions, relative_entropy, with_rest
from cfhelpers.tasks.encoding import Batch


class KeptOutputs:
    """At each target the k most probable tokens with their log-probabilities, and the probability of all others.

    The divergence is then computed over these k + 1 outcomes. Joining outcomes can only lower a Kullback–Leibler
    divergence (the log-sum inequality), so what is computed is a lower bound; it is exact where k is all there is.

    Args:
        top_k: k, at least 1.
        temperature: At which the log-probabilities are kept.
    """

    def __init__(self, top_k: int, temperature: float) -> None:
        if top_k < 1:
            raise ValueError(f"top_k must keep at least 1 token, got {top_k}.")
        self.top_k, self.temperature = top_k, temperature
        self.heads: list[str] | None = None
        self.spans: dict[str, tuple[int, int]] = {}
        self.tokens: list[Tensor] = []
        self.log_probabilities: list[Tensor] = []

    @classmethod
    def of(
        cls, teacher: nn.Module, batches: Iterable[Batch], *, top_k: int, temperature: float, heads: list[str] | None
    ) -> Self:
        """Ask a teacher once about every row.

        Args:
            teacher: Asked in evaluation mode; its own mode is restored.
            batches: With labels; padded or not, which changes nothing.
            top_k: Outcomes to keep at each target.
            temperature: Of the softened predictions.
            heads: As in ``predictions``.

        Raises:
            ValueError: There are no batches, or ``top_k`` is below 1.
        """
        kept, device = cls(top_k, temperature), next(teacher.parameters()).device
        kept.heads = heads
        found: list[tuple[list[Tensor], list[Tensor]]] = []
        position = 0
        with evaluating(teacher):
            for batch in batches:
                on_device = {name: tensor.to(device) for name, tensor in batch.items()}
                found.append(kept._most_probable(predictions(teacher, on_device, None, heads)))
                for key, count in row_keys(batch):
                    kept.spans[key] = (position, position + count)
                    position += count
        if not found:
            raise ValueError("there is no batch to keep a teacher's outputs for.")
        kept.tokens = [torch.cat(parts) for parts in zip(*(tokens for tokens, _ in found), strict=True)]
        kept.log_probabilities = [torch.cat(parts) for parts in zip(*(values for _, values in found), strict=True)]
        return kept

    def _most_probable(self, logits: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        tokens, values = [], []
        for each in logits:
            log_p = torch.log_softmax(each.float() / self.temperature, dim=-1)
            best = log_p.topk(min(self.top_k, log_p.shape[-1]), dim=-1)
            tokens.append(best.indices.to(torch.int32).cpu())
            values.append(with_rest(best.values).cpu())
        return tokens, values

    def divergence(self, student: list[Tensor], inputs: Batch, direction: Direction) -> list[Tensor]:
        """Return T² times the divergence over the kept outcomes, for each head ``[N]``, in nats times T².

        Args:
            student: Logits as ``predictions`` gives them for ``inputs``.
            inputs: A batch of rows whose outputs were kept, in any order and with any padding.
            direction: "forward" or "reverse".

        Raises:
            ValueError: A row's outputs were not kept.
        """
        places = self._places(inputs)
        found = []
        for logits, tokens, values in zip(student, self.tokens, self.log_probabilities, strict=True):
            scaled = logits.float() / self.temperature
            chosen = scaled.gather(-1, tokens[places].to(logits.device, torch.int64))
            log_q = with_rest(chosen - scaled.logsumexp(dim=-1, keepdim=True))
            kept = relative_entropy(log_q, values[places].to(logits.device), direction)
            found.append(self.temperature**2 * kept)
        return found

    def _places(self, inputs: Batch) -> Tensor:
        places = []
        for key, _ in row_keys(inputs):
            if key not in self.spans:
                raise ValueError(
                    "a row of this batch is not among those whose teacher's outputs were kept (its tokens or its "
                    "targets differ): keep the outputs of the whole training set, or leave top_k out and let the "
                    "teacher answer at every step."
                )
            places.append(torch.arange(*self.spans[key]))
        return torch.cat(places)

    @property
    def rest(self) -> float:
        """Mean probability that the teacher gives to all that is not kept."""
        return float(torch.cat([values[:, -1].exp() for values in self.log_probabilities]).mean())

    def stored_bytes(self) -> int:
        """Return the size of the kept tokens and log-probabilities."""
        return bytes_of([self.tokens, self.log_probabilities])

    def state_dict(self) -> dict[str, Any]:
        """Return everything, for a checkpoint."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what ``state_dict`` described."""
        kept = cls(state["top_k"], state["temperature"])
        vars(kept).update(state)
        kept.tokens = [tensor.cpu() for tensor in kept.tokens]
        kept.log_probabilities = [tensor.cpu() for tensor in kept.log_probabilities]
        return kept


def row_keys(batch: Batch) -> list[tuple[str, int]]:
    """Return for each row a key of its tokens and targets, the same under every padding, and how many targets it has.

    Raises:
        ValueError: The batch has no labels, and so nothing that is predicted.
    """
    if "labels" not in batch:
        raise ValueError("a batch without labels does not say what is predicted: give input_ids and labels.")
    labels = batch["labels"]
    real = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
    keys = []
    for ids, targets, mask in zip(batch["input_ids"].cpu(), labels.cpu(), real.cpu(), strict=True):
        own = targets[mask].tolist() if targets.dim() else [int(targets)]
        count = sum(each != -100 for each in (own[1:] if targets.dim() else own))
        text = f"{ids[mask].tolist()}|{own}"
        keys.append((hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), count))
    return keys
