"""Exercise 8.2: what the divergence is for a small step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number


def _cases() -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(12)

    def drawn(n: int, vocabulary: int, sharpness: float) -> tuple[Tensor, Tensor]:
        logits = sharpness * torch.randn(n, vocabulary, generator=generator)
        return logits, torch.randn(n, vocabulary, generator=generator) + 0.7  # a slope that all tokens share counts not

    return {"few words": drawn(4, 3, 1.0), "many words": drawn(5, 11, 2.0), "one position": drawn(1, 6, 3.0)}


def _examine(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case, (logits, slopes) in _cases().items():
        given = logits.clone(), slopes.clone()
        numbers[case] = number(answer(*given), "the divergence")
        if not (torch.equal(given[0], logits) and torch.equal(given[1], slopes)):
            raise CheckFailed("your code changed the logits or slopes it was given. Make new tensors.")
    return numbers


def _right(logits: Tensor, slopes: Tensor) -> Tensor:
    p = logits.softmax(-1)
    return 0.5 * ((p * slopes**2).sum(-1) - (p * slopes).sum(-1) ** 2).mean()


def _variances(logits: Tensor, slopes: Tensor) -> Tensor:
    p = logits.softmax(-1)
    return (p * slopes**2).sum(-1) - (p * slopes).sum(-1) ** 2


def _library(logits: Tensor, slopes: Tensor) -> Tensor:
    p = logits.softmax(-1)
    centred = slopes - (p * slopes).sum(-1, keepdim=True)
    return (p * centred.square()).sum(-1).mean() / 2


def _variance(weights: Callable[[Tensor], Tensor], factor: float = 0.5) -> Callable[[Tensor, Tensor], Tensor]:
    """Return an answer that weighs the slopes' variance in another way."""

    def answer(logits: Tensor, slopes: Tensor) -> Tensor:
        w = weights(logits)
        return factor * ((w * slopes**2).sum(-1) - (w * slopes).sum(-1) ** 2).mean()

    return answer


def _uniform(logits: Tensor) -> Tensor:
    return torch.full_like(logits, 1 / logits.shape[-1])


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(-1)


_HALF = "Half the variance of the slopes under the model's own probabilities."

second_order_kl = Exercise(
    number="8.2",
    reread="What the penalty of EWC is",
    verified="half the variance of the slopes under the old probabilities, averaged over the positions",
    reference=_right,
    library=_library,
    examine=_examine,
    mistakes=[
        Mistake(f"the factor ½ is missing. {_HALF}", _variance(_softmax, 1.0)),
        Mistake(
            "the squared mean of the slopes is not subtracted: a slope that all tokens share changes no probability.",
            lambda logits, slopes: 0.5 * (logits.softmax(-1) * slopes**2).sum(-1).mean(),
        ),
        Mistake(
            "the squared mean of the slopes is not subtracted, and the factor ½ is missing.",
            lambda logits, slopes: (logits.softmax(-1) * slopes**2).sum(-1).mean(),
        ),
        Mistake(
            "all tokens weigh alike. Weigh each token's slope by its probability, softmax(logits).",
            _variance(_uniform),
        ),
        Mistake(
            "all tokens weigh alike, and the variance divides by one less. Weigh by softmax(logits).",
            lambda logits, slopes: 0.5 * slopes.var(-1).mean(),
        ),
        Mistake(
            "all tokens weigh alike and the factor ½ is missing. Weigh by softmax(logits).", _variance(_uniform, 1.0)
        ),
        Mistake(
            "this is a sum over the positions. Average over them.",
            lambda logits, slopes: _right(logits, slopes) * len(logits),
        ),
        Mistake(
            "the mean was taken over the vocabulary too. Sum over it, weighed by the probabilities.",
            lambda logits, slopes: _right(logits, slopes) / logits.shape[-1],
        ),
        Mistake(
            "the square root was taken: this is a standard deviation, not a variance.",
            lambda logits, slopes: _variances(logits, slopes).sqrt().mean() / 2,
        ),
        Mistake(
            "the softmax was taken of the slopes. The probabilities are those of the logits.",
            lambda logits, slopes: _variance(lambda _: slopes.softmax(-1))(logits, slopes),
        ),
        Mistake("there is a factor ¼: the ½ is in there twice.", lambda logits, slopes: _right(logits, slopes) / 2),
        Mistake(
            "the squared mean of the slopes is added, not subtracted.",
            lambda logits, slopes: (
                0.5 * ((logits.softmax(-1) * slopes**2).sum(-1) + (logits.softmax(-1) * slopes).sum(-1) ** 2).mean()
            ),
        ),
        Mistake(
            "the mean of the slopes is subtracted without its square.",
            lambda logits, slopes: (
                0.5 * ((logits.softmax(-1) * slopes**2).sum(-1) - (logits.softmax(-1) * slopes).sum(-1)).mean()
            ),
        ),
        Mistake(
            "only the squared mean of the slopes is left. Subtract it from the mean of the squares.",
            lambda logits, slopes: 0.5 * (logits.softmax(-1) * slopes).sum(-1).square().mean(),
        ),
        Mistake(
            "what is subtracted is the plain mean of the slopes, squared. Weigh that mean by the probabilities, too.",
            lambda logits, slopes: 0.5 * ((logits.softmax(-1) * slopes**2).sum(-1) - slopes.mean(-1) ** 2).mean(),
        ),
        Mistake(
            "the squared mean of the slopes is taken over all positions together. Each target has its own.",
            lambda logits, slopes: (
                0.5
                * ((logits.softmax(-1) * slopes**2).sum(-1).mean() - (logits.softmax(-1) * slopes).sum(-1).mean() ** 2)
            ),
        ),
        Mistake(
            "the ½ stands before the first part alone: it belongs to the whole difference.",
            lambda logits, slopes: (
                0.5 * (logits.softmax(-1) * slopes**2).sum(-1) - (logits.softmax(-1) * slopes).sum(-1) ** 2
            ).mean(),
        ),
        Mistake(
            "the probabilities are squared before they weigh. Weigh by softmax(logits).",
            _variance(lambda logits: logits.softmax(-1).square()),
        ),
        Mistake(
            "this is the first order, the mean slope, which probabilities leave out. Take half the slopes' variance.",
            lambda logits, slopes: (logits.softmax(-1) * slopes).sum(-1).mean(),
        ),
        Mistake(
            "the absolute slopes were taken, not their squares.",
            lambda logits, slopes: (
                0.5 * ((logits.softmax(-1) * slopes.abs()).sum(-1) - (logits.softmax(-1) * slopes).sum(-1) ** 2).mean()
            ),
        ),
        Mistake(
            "the logits were added to the slopes before the softmax: the probabilities are those of the old model.",
            lambda logits, slopes: _variance(lambda z: (z + slopes).softmax(-1))(logits, slopes),
        ),
        Mistake(
            "the result is the sum over the positions, and the ½ is missing.",
            lambda logits, slopes: 2 * len(logits) * _right(logits, slopes),
        ),
        Mistake(
            "this is the largest target's alone. Average over them.",
            lambda logits, slopes: 0.5 * _variances(logits, slopes).max(),
        ),
        Mistake(
            "only the first target counts. Average over all of them.",
            lambda logits, slopes: 0.5 * _variances(logits, slopes)[0],
        ),
        Mistake("logits and slopes have changed places.", lambda logits, slopes: _right(slopes, logits)),
        Mistake(
            "the slopes were multiplied by their probabilities before squaring. Square the slope, then weigh it.",
            lambda logits, slopes: (
                0.5
                * ((logits.softmax(-1) * slopes).square().sum(-1) - (logits.softmax(-1) * slopes).sum(-1) ** 2).mean()
            ),
        ),
        Mistake("the logits themselves are the weights. Weigh by softmax(logits).", _variance(lambda logits: logits)),
        Mistake("log-probabilities are the weights. Weigh by softmax(logits).", _variance(lambda z: z.log_softmax(-1))),
        Mistake(
            "this is the KL after a whole step, not its second order: the probabilities after the step do not appear "
            f"in it. {_HALF}",
            lambda logits, slopes: (
                (logits.softmax(-1) * (logits.log_softmax(-1) - (logits + slopes).log_softmax(-1))).sum(-1).mean()
            ),
        ),
        Mistake("the sign is wrong: a divergence is never negative.", lambda logits, slopes: -_right(logits, slopes)),
        Mistake(
            "the softmax runs over the positions. It belongs over the vocabulary, the last axis.",
            _variance(lambda logits: logits.softmax(0)),
        ),
        Mistake(
            "only the diagonal was kept: p (1 − p) s². The slopes of different tokens act on each other: subtract the "
            "square of their weighted mean.",
            lambda logits, slopes: 0.5 * (logits.softmax(-1) * (1 - logits.softmax(-1)) * slopes**2).sum(-1).mean(),
        ),
        Mistake(
            "this is the KL after a whole step, the other way round, not its second order. The probabilities after the "
            f"step do not appear in it. {_HALF}",
            lambda logits, slopes: (
                ((logits + slopes).softmax(-1) * ((logits + slopes).log_softmax(-1) - logits.log_softmax(-1)))
                .sum(-1)
                .mean()
            ),
        ),
        Mistake(
            "each token has a probability of its own (sigmoid). They share one softmax.",
            _variance(torch.sigmoid),
        ),
        Mistake(
            "the slopes in the first part are not squared.",
            lambda logits, slopes: (
                0.5 * ((logits.softmax(-1) * slopes).sum(-1) - (logits.softmax(-1) * slopes).sum(-1) ** 2).mean()
            ),
        ),
        Mistake(
            "this is the plain variance of the slopes times their probabilities. Weigh the squares by the "
            "probabilities, and subtract the square of the weighted mean.",
            lambda logits, slopes: 0.5 * (logits.softmax(-1) * slopes).var(-1).mean(),
        ),
        Mistake(
            "squares of the weighted slopes are subtracted one by one, and the mean runs over the vocabulary too. Sum "
            "over it first, then square that sum.",
            lambda logits, slopes: 0.5 * (logits.softmax(-1) * slopes**2 - (logits.softmax(-1) * slopes) ** 2).mean(),
        ),
    ],
)
