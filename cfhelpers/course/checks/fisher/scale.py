"""Exercise 2.3: the strength that means the same with an importance of another scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from cfhelpers.course.checks.exercise import Exercise, Mistake, Numbers, number

Named = Mapping[str, Tensor]


def _importances() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return two importances whose tensors differ in size, scale and spread."""
    generator = torch.Generator().manual_seed(7)
    shapes = {"embedding": (40, 3), "bias": (2,), "head": (3, 5)}
    one = {name: torch.rand(shape, generator=generator) * 10.0**-i for i, (name, shape) in enumerate(shapes.items())}
    other = {name: torch.rand(shape, generator=generator) ** 4 * 0.02 for name, shape in shapes.items()}
    return one, other


def _examine(answer: Callable[..., Any]) -> Numbers:
    one, other = _importances()
    return {
        "the strength": number(answer(50.0, one, other), "the strength"),
        "the strength the other way": number(answer(8.0, other, one), "the strength"),
        "the strength for fewer weights": number(answer(3.0, _without(one), _without(other)), "the strength"),
        "the strength with zeros among the entries": number(answer(20.0, _half_zero(one), other), "the strength"),
    }


def _half_zero(importance: Named) -> dict[str, Tensor]:
    """Set every second entry to zero, as the importance of what a task never uses is."""
    return {
        name: torch.where(torch.arange(tensor.numel()).reshape(tensor.shape) % 2 == 1, tensor, 0.0)
        for name, tensor in importance.items()
    }


def _without(importance: Named) -> dict[str, Tensor]:
    return {name: tensor[:2] for name, tensor in importance.items() if name != "bias"}


def _matched(size: Callable[[Named], float]) -> Callable[[float, Named, Named], float]:
    return lambda strength, importance, other: strength * size(importance) / size(other)


def _flat(importance: Named) -> Tensor:
    return torch.cat([each.flatten().double() for each in importance.values()])


def _mean(importance: Named) -> float:
    return float(_flat(importance).mean())


_reference = _matched(_mean)

matched_strength = Exercise(
    number="2.3",
    reread="A strength has a scale",
    verified="λ times the mean importance is the same for both, whichever is the larger",
    reference=_reference,
    library=_reference,
    examine=_examine,
    mistakes=[
        Mistake(
            "the ratio is upside down: a smaller importance needs a larger λ.",
            lambda strength, importance, other: _reference(strength, other, importance),
        ),
        Mistake(
            "the strength itself is missing: this is only the ratio of the two scales.",
            lambda strength, importance, other: _reference(1.0, importance, other),
        ),
        Mistake(
            "each tensor's mean counts alike here, the bias as much as the embedding. Take the mean over all entries.",
            _matched(
                lambda importance: float(torch.stack([each.double().mean() for each in importance.values()]).mean())
            ),
        ),
        Mistake(
            "entries that are zero are left out of the mean. A weight without importance is a weight too: take the "
            "mean over all entries.",
            _matched(lambda importance: float(_flat(importance)[_flat(importance) != 0].mean())),
        ),
        Mistake(
            "the largest entries are compared. One outlier then decides; take the mean over all entries.",
            _matched(lambda importance: float(_flat(importance).max())),
        ),
        Mistake(
            "the medians are compared. Most entries hardly count in the penalty, which is a sum: take the mean.",
            _matched(lambda importance: float(_flat(importance).median())),
        ),
        Mistake(
            "square roots are compared, but the penalty is linear in the importance.",
            _matched(lambda importance: float(_flat(importance).mean().sqrt())),
        ),
        Mistake(
            "the means of the square roots are compared, but the penalty is linear in the importance.",
            _matched(lambda importance: float(_flat(importance).sqrt().mean())),
        ),
        Mistake(
            "Euclidean norms are compared, which the few largest entries decide. Take the mean over all entries.",
            _matched(lambda importance: float(torch.linalg.vector_norm(_flat(importance)))),
        ),
        Mistake(
            "only the first tensor was looked at. Take the mean over all entries of all tensors.",
            _matched(lambda importance: float(next(iter(importance.values())).double().mean())),
        ),
        Mistake(
            "only the last tensor was looked at. Take the mean over all entries of all tensors.",
            _matched(lambda importance: float(list(importance.values())[-1].double().mean())),
        ),
        Mistake(
            "the two mean importances are multiplied. The strength times the one mean is divided by the other.",
            lambda strength, importance, other: strength * _mean(importance) * _mean(other),
        ),
        Mistake(
            "this is the mean of the entries' ratios, which the smallest entries decide. Divide the mean by the mean.",
            lambda strength, importance, other: strength * float((_flat(importance) / _flat(other)).mean()),
        ),
        Mistake(
            "this is the mean of the tensors' ratios. Divide the mean over all entries by the other mean.",
            lambda strength, importance, other: (
                strength
                * sum(float(importance[name].double().mean() / other[name].double().mean()) for name in importance)
                / len(importance)
            ),
        ),
        Mistake(
            "the strength is divided by the ratio's square: λ times the mean importance is to be the same, once.",
            lambda strength, importance, other: strength * (_mean(importance) / _mean(other)) ** 2,
        ),
        Mistake(
            "the smallest entries are compared. They hardly count; take the mean over all entries.",
            _matched(lambda importance: float(_flat(importance).min())),
        ),
        Mistake(
            "squares are compared, but the penalty is linear in the importance. Take the means.",
            _matched(lambda importance: float(_flat(importance).square().sum())),
        ),
        Mistake(
            "the standard deviations are compared. Take the means.",
            _matched(lambda importance: float(_flat(importance).std())),
        ),
        Mistake(
            "the difference of the means was added to the strength. Multiply by their ratio.",
            lambda strength, importance, other: strength + _mean(importance) - _mean(other),
        ),
        Mistake(
            "the logarithm of the ratio was taken. Multiply by the ratio itself.",
            lambda strength, importance, other: strength * math.log(_mean(importance) / _mean(other)),
        ),
        Mistake(
            "the strength times the first mean is not divided by the other's mean.",
            lambda strength, importance, other: strength * _mean(importance),
        ),
        Mistake(
            "the strength is divided by the other's mean, but not multiplied by the first one's.",
            lambda strength, importance, other: strength / _mean(other),
        ),
        Mistake(
            "the strength is divided by the first mean. λ times the mean importance is to stay the same: multiply.",
            lambda strength, importance, other: strength / _mean(importance) / _mean(other),
        ),
        Mistake(
            "a sum is compared with a mean. Take the mean over all entries of both.",
            lambda strength, importance, other: strength * float(_flat(importance).sum()) / _mean(other),
        ),
        Mistake(
            "a mean is compared with a sum. Take the mean over all entries of both.",
            lambda strength, importance, other: strength * _mean(importance) / float(_flat(other).sum()),
        ),
        Mistake(
            "the ratio was added to the strength. Multiply by it.",
            lambda strength, importance, other: strength + _mean(importance) / _mean(other),
        ),
        Mistake(
            "this is the sum of the entries' ratios. Divide the mean by the mean.",
            lambda strength, importance, other: strength * float((_flat(importance) / _flat(other)).sum()),
        ),
        Mistake(
            "the strength was not changed. Another scale of the importance needs another λ.",
            lambda strength, importance, other: strength,
        ),
        Mistake("the strength is squared.", lambda s, importance, other: _reference(s * s, importance, other)),
    ],
)
