"""Estimates of a language model's Fisher information, with and without a mistake, for exercise 3.2."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

Batch = dict[str, Tensor]


def examples(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the rows of all batches, each as a batch of one."""
    for batch in batches:
        for row in range(len(batch["labels"])):
            yield {name: tensor[row : row + 1] for name, tensor in batch.items()}


def summed(model: Any, batch: Batch, labels: Tensor | None = None, shift: int = 1) -> Tensor:
    """Return the negative log-likelihood of a batch's targets in nats, summed."""
    labels = batch["labels"] if labels is None else labels
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    predicted = logits[:, : logits.shape[1] - shift].flatten(0, 1)
    return nn.functional.cross_entropy(predicted, labels[:, shift:].flatten(), ignore_index=-100, reduction="sum")


def fisher_of(
    losses: Callable[[Any, list[Batch]], Iterable[Tensor]],
    *,
    transform: Callable[[Tensor], Tensor] = torch.square,
    divisor: Callable[[list[Batch]], float] = lambda batches: len(list(examples(batches))),
    accumulate: bool = False,
) -> Callable[[Any, Iterable[Batch]], dict[str, Tensor]]:
    """Return a Fisher estimate: the transformed gradients of ``losses``, summed and divided."""

    def fisher(model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        model.eval()
        device = next(model.parameters()).device
        moved = [{name: tensor.to(device) for name, tensor in batch.items()} for batch in batches]
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        total = {name: torch.zeros_like(p) for name, p in parameters.items()}
        running = {name: torch.zeros_like(p) for name, p in parameters.items()}
        for loss in losses(model, moved):
            gradients = torch.autograd.grad(loss, list(parameters.values()))
            for name, gradient in zip(parameters, gradients, strict=True):
                running[name] = running[name] + gradient if accumulate else gradient
                total[name] += transform(running[name])
        return {name: tensor / divisor(moved) for name, tensor in total.items()}

    return fisher


def per_example(model: Any, batches: list[Batch]) -> Iterable[Tensor]:
    """Return each example's own loss in nats."""
    return (summed(model, example) for example in examples(batches))


def per_example_with(
    labels: Callable[[Any, Batch], Tensor] | None = None, shift: int = 1
) -> Callable[[Any, list[Batch]], Iterable[Tensor]]:
    """Return what gives each example's own loss, with other labels or another shift."""
    return lambda model, batches: (
        summed(model, example, None if labels is None else labels(model, example), shift)
        for example in examples(batches)
    )


def own_guess(model: Any, example: Batch) -> Tensor:
    """Return labels that are the model's own most probable tokens, where the data's are targets."""
    with torch.no_grad():
        guess = model(example["input_ids"], attention_mask=example["attention_mask"]).logits.argmax(-1)
    guess = torch.cat([guess[:, :1], guess[:, :-1]], dim=1)
    return torch.where(example["labels"] == -100, -100, guess)


def per_token(model: Any, batches: list[Batch]) -> Iterator[Tensor]:
    """Yield every target's own loss."""
    for example in examples(batches):
        for place in (example["labels"][0] != -100).nonzero().flatten().tolist():
            if place > 0:
                alone = torch.full_like(example["labels"], -100)
                alone[0, place] = example["labels"][0, place]
                yield summed(model, example, alone)


def times(count: Callable[[Batch], Any]) -> Callable[[Any, list[Batch]], Iterable[Tensor]]:
    """Return each example's mean loss times some count of its tokens."""
    return lambda model, batches: (model(**example).loss * count(example) for example in examples(batches))
