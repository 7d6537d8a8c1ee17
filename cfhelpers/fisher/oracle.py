"""The definition by hand: what tests, benchmarks and checks compare with. It uses nothing else of the library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

Example = Mapping[str, Tensor]


def negative_log_likelihoods(model: nn.Module, example: Example) -> Tensor:
    """Return −log p of each target of one example, in nats; a causal model's logits at t predict label t + 1."""
    logits, labels = (
        model(**{name: value for name, value in example.items() if name != "labels"}).logits,
        example["labels"],
    )
    if labels.dim() == 2:
        logits, labels = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return nn.functional.cross_entropy(logits, labels, reduction="none", ignore_index=-100)[labels != -100]


def summed(model: nn.Module, example: Example) -> Tensor:
    """Return −log p of all targets of one example together, in nats."""
    return negative_log_likelihoods(model, example).sum()


def fisher_by_hand(
    model: nn.Module,
    examples: Iterable[Example],
    objective: Callable[[nn.Module, Example], Tensor] = summed,
    *,
    power: int = 2,
) -> dict[str, Tensor]:
    """Return the mean over examples of |gradient|^power, one backward pass at a time, in the model's own precision.

    Give it a copy in float64 and in evaluation mode to have the truth.

    Args:
        model: Returns ``logits`` [1, T, V] or [1, C].
        examples: Batches of one, without padding.
        objective: What is differentiated: one number for an example, or one for each of its targets, whose powers are
            then summed (``negative_log_likelihoods`` gives the unit "token").
        power: 2 for the Fisher information; 1 for MAS.

    Returns:
        One tensor for each trainable parameter, zero where nothing reaches it.
    """
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    count = 0
    for example in examples:
        count += 1
        for value in objective(model, example).reshape(-1):
            found = torch.autograd.grad(value, list(parameters.values()), retain_graph=True, allow_unused=True)
            for name, gradient in zip(parameters, found, strict=True):
                if gradient is not None:
                    total[name] += gradient.abs() ** power
    return {name: tensor / count for name, tensor in total.items()}
