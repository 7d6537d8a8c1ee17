"""Exercise 5.2: the mean of several updates, which is not the update of the mean factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cfhelpers.course.checks.adapters.matrices import factors, matrix, untouched
from cfhelpers.course.checks.exercise import Exercise, Mistake, Numbers

Factors = list[tuple[Tensor, Tensor]]

# Rank, inputs, outputs, α and how many.
_CASES = {"two adapters": (2, 5, 4, 6.0, 2), "three adapters": (3, 4, 6, 2.0, 3), "one adapter": (2, 3, 3, 5.0, 1)}


def _examine(answer: Callable[..., Any]) -> Numbers:
    found = {}
    for seed, (name, (rank, inputs, outputs, alpha, count)) in enumerate(_CASES.items()):
        pairs = [factors(10 * seed + number, rank, inputs, outputs) for number in range(count)]
        flat = [each for pair in pairs for each in pair]
        found[f"the mean over {name}"] = matrix(untouched(answer, flat, list(pairs), alpha), f"the mean over {name}")
    return found


def _reference(adapters: Factors, alpha: float) -> Tensor:
    return torch.stack([alpha / A.shape[0] * (B @ A) for A, B in adapters]).mean(dim=0)


def _of_factors(power: float) -> Callable[[Factors, float], Tensor]:
    """Add up the factors, each divided by so high a power of their number, and multiply the sums."""

    def answer(adapters: Factors, alpha: float) -> Tensor:
        A, B = (torch.stack(each).sum(dim=0) / len(adapters) ** power for each in zip(*adapters, strict=True))
        return alpha / A.shape[0] * (B @ A)

    return answer


def _of_factors_without_scale(adapters: Factors, alpha: float) -> Tensor:
    return _of_factors(1.0)(adapters, float(adapters[0][0].shape[0]))


def _scaled(scale: Callable[[float, int, int], float]) -> Callable[[Factors, float], Tensor]:
    """Multiply the mean of the bare products by a function of α, the rank and the number of adapters."""

    def answer(adapters: Factors, alpha: float) -> Tensor:
        products = torch.stack([B @ A for A, B in adapters]).mean(dim=0)
        return scale(alpha, adapters[0][0].shape[0], len(adapters)) * products

    return answer


def _only(index: int) -> Callable[[Factors, float], Tensor]:
    return lambda adapters, alpha: _reference(adapters[index:][:1], alpha)


def _only_share(index: int) -> Callable[[Factors, float], Tensor]:
    return lambda adapters, alpha: _only(index)(adapters, alpha) / len(adapters)


def _median(adapters: Factors, alpha: float) -> Tensor:
    return torch.stack([alpha / A.shape[0] * (B @ A) for A, B in adapters]).median(dim=0).values


def _running(adapters: Factors, alpha: float) -> Tensor:
    mean = _reference(adapters[:1], alpha)
    for pair in adapters[1:]:
        mean = (mean + _reference([pair], alpha)) / 2
    return mean


def _largest(adapters: Factors, alpha: float) -> Tensor:
    return torch.stack([_reference([pair], alpha) for pair in adapters]).amax(dim=0)


_CROSS = (
    "the factors are averaged before they are multiplied: (B₁ + B₂)(A₁ + A₂) holds the cross terms B₁A₂ and B₂A₁, "
    "which no adapter ever learned. Multiply first, then average"
)

mean_of_updates = Exercise(
    number="5.2",
    reread="What a merge computes",
    verified="the products are averaged, without cross terms, and multiplied by α/r",
    reference=_reference,
    library=_reference,
    examine=_examine,
    mistakes=[
        Mistake(f"{_CROSS}.", _of_factors(1.0)),
        Mistake(f"{_CROSS}. (With a root on each weight, this is peft's “linear”.)", _of_factors(0.5)),
        Mistake(
            f"the factors are added up before they are multiplied, and nothing is averaged; {_CROSS}.", _of_factors(0)
        ),
        Mistake("the updates are added up, not averaged.", _scaled(lambda alpha, r, K: K * alpha / r)),
        Mistake("the factor α/r is missing.", _scaled(lambda alpha, r, K: 1.0)),
        Mistake("the factor α/r is missing, and the updates are added up.", _scaled(lambda alpha, r, K: K)),
        Mistake("the products are multiplied by α, but not divided by the rank.", _scaled(lambda alpha, r, K: alpha)),
        Mistake("the products are divided by the rank, but not multiplied by α.", _scaled(lambda alpha, r, K: 1 / r)),
        Mistake(
            "you divide by the number of adapters twice. Is there a mean of something divided already?",
            _scaled(lambda alpha, r, K: alpha / r / K),
        ),
        Mistake(
            "each update is weighted with 1/√K. Roots belong to factors that are added; a mean of K products has 1/K.",
            _scaled(lambda alpha, r, K: alpha / r * K**0.5),
        ),
        Mistake("only the first adapter counts. Is there a return inside the loop?", _only(0)),
        Mistake("only the last adapter counts. Is the sum made anew in every round?", _only(-1)),
        Mistake("only the last adapter counts, divided by their number. Add up in the loop.", _only_share(-1)),
        Mistake("only the first adapter counts, divided by their number. Add up in the loop.", _only_share(0)),
        Mistake("the factor is upside down: r/α where α/r is right.", _scaled(lambda alpha, r, K: r / alpha)),
        Mistake("the factor α/r is in there twice.", _scaled(lambda alpha, r, K: (alpha / r) ** 2)),
        Mistake(
            "the products are divided by √r. That is rsLoRA; plain LoRA divides by r.",
            _scaled(lambda a, r, K: a / r**0.5),
        ),
        Mistake(
            "the products are multiplied by α, but not divided by the rank, and added up, not averaged.",
            _scaled(lambda alpha, r, K: K * alpha),
        ),
        Mistake(
            "the sum is divided by the rank and by α. Divide by the rank, multiply by α.",
            _scaled(lambda alpha, r, K: 1 / (alpha * r)),
        ),
        Mistake("the sum is divided by the number of adapters plus one.", _scaled(lambda a, r, K: a / r * K / (K + 1))),
        Mistake(
            "you divide by the number of inputs. The rank r is A.shape[0], the small side.",
            lambda adapters, alpha: _scaled(lambda a, r, K: a / adapters[0][0].shape[1])(adapters, alpha),
        ),
        Mistake(
            "you divide by the number of outputs. The rank r is A.shape[0], the small side.",
            lambda adapters, alpha: _scaled(lambda a, r, K: a / adapters[0][1].shape[0])(adapters, alpha),
        ),
        Mistake(f"the factor α/r is missing, and {_CROSS}.", _of_factors_without_scale),
        Mistake(
            f"α/r is taken with each of the two sums, and {_CROSS}.",
            lambda adapters, alpha: alpha / adapters[0][0].shape[0] * _of_factors(1.0)(adapters, alpha),
        ),
        Mistake("the sign is wrong.", _scaled(lambda alpha, r, K: -alpha / r)),
        Mistake(
            "the first adapter is left out. The mean is over all of them.",
            lambda adapters, alpha: _reference(adapters[1:] or adapters, alpha),
        ),
        Mistake(
            "the last adapter is left out. The mean is over all of them.",
            lambda adapters, alpha: _reference(adapters[:-1] or adapters, alpha),
        ),
        Mistake("that is a median over the updates. The mean is asked for.", _median),
        Mistake(
            "the sum is divided by the number of adapters less one. Divide by their number.",
            _scaled(lambda alpha, r, K: alpha / r * K / max(K - 1, 1)),
        ),
        Mistake(
            "the sum is divided by 2, however many adapters there are. Divide by their number, len(adapters).",
            _scaled(lambda alpha, r, K: alpha / r * K / 2),
        ),
        Mistake(
            "the mean is halved at every step, (mean + update) / 2, so that the last adapter counts most. Add up, and "
            "divide once.",
            _running,
        ),
        Mistake("that is the largest of the updates, entry by entry. The mean is asked for.", _largest),
    ],
)
