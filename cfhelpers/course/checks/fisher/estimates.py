"""Estimates of a classifier's Fisher information, with and without a mistake in them, for exercise 2.2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Squares = Callable[[list[Tensor], Tensor, list[nn.Parameter]], list[Tensor]]


def fisher_of(
    squares: Squares,
    *,
    divisor: Callable[[int], float] = float,
    values: Callable[[Tensor], Tensor] = lambda logits: logits.log_softmax(-1),
) -> Callable[[nn.Module, Tensor], dict[str, Tensor]]:
    """Return an estimate that adds up what ``squares`` makes of one example, and divides."""

    def fisher(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
        model.eval()
        parameters = dict(model.named_parameters())
        total = [torch.zeros_like(parameter) for parameter in parameters.values()]
        for row in inputs.split(1):
            logits = model(row)[0]
            found = squares(list(values(logits)), logits.detach().softmax(-1), list(parameters.values()))
            total = [one + other for one, other in zip(total, found, strict=True)]
        return {name: each / divisor(len(inputs)) for name, each in zip(parameters, total, strict=True)}

    return fisher


def gradients(value: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    """Return the gradients of a value, and keep its graph for the next one."""
    return list(torch.autograd.grad(value, parameters, retain_graph=True))


def over_classes(combine: Callable[[Tensor, Tensor], Tensor], *, of_probability: bool = False) -> Squares:
    """Return what combines the classes' gradients ``[C, …]`` with their probabilities ``[C, 1…]``."""

    def squares(log_p: list[Tensor], p: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
        values = [each.exp() for each in log_p] if of_probability else log_p
        by_class = [gradients(value, parameters) for value in values]
        stacked = [torch.stack(each) for each in zip(*by_class, strict=True)]
        return [combine(g, p.reshape(-1, *[1] * (g.dim() - 1))) for g in stacked]

    return squares


def of_a_square_matrix(reduce: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Tensor], dict[str, Tensor]]:
    """Return an estimate from log_p[:, labels], which is ``[N, N]``; ``reduce`` makes it values to differentiate."""

    def fisher(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
        model.eval()
        parameters = dict(model.named_parameters())
        log_p = model(inputs).log_softmax(-1)
        values = reduce(log_p[:, log_p.argmax(-1)]).reshape(-1)
        by_value = [gradients(value, list(parameters.values())) for value in values]
        squares = [torch.stack(each).square().mean(0) for each in zip(*by_value, strict=True)]
        return dict(zip(parameters, squares, strict=True))

    return fisher


def over_the_wrong_dimension(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Let the probabilities sum to 1 over the examples (softmax(0) of a batch), class by class."""
    model.eval()
    parameters = dict(model.named_parameters())
    log_p = model(inputs).log_softmax(0)
    total = [torch.zeros_like(parameter) for parameter in parameters.values()]
    for value in log_p.flatten():
        found = gradients(value, list(parameters.values()))
        weight = value.detach().exp()
        total = [one + weight * other.square() for one, other in zip(total, found, strict=True)]
    return {name: each / len(inputs) for name, each in zip(parameters, total, strict=True)}


def piled_up(*, over_examples: bool) -> Callable[[nn.Module, Tensor], dict[str, Tensor]]:
    """Return an estimate that never zeroes .grad between classes, or nowhere at all."""

    def fisher(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
        model.eval()
        parameters = dict(model.named_parameters())
        total = [torch.zeros_like(parameter) for parameter in parameters.values()]
        piled = [torch.zeros_like(parameter) for parameter in parameters.values()]
        for row in inputs.split(1):
            log_p = model(row).log_softmax(-1)[0]
            if not over_examples:
                piled = [torch.zeros_like(parameter) for parameter in parameters.values()]
            for value in log_p:
                found = gradients(value, list(parameters.values()))
                piled = [one + other for one, other in zip(piled, found, strict=True)]
                weight = value.detach().exp()
                total = [one + weight * other.square() for one, other in zip(total, piled, strict=True)]
        return {name: each / len(inputs) for name, each in zip(parameters, total, strict=True)}

    return fisher
