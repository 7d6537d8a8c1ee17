"""Exercise 4.2: the path integral of synaptic intelligence."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, tensors

Path = list[Tensor]


def _walk() -> tuple[Path, Path]:
    """Return five positions of four weights and the four gradients before each step.

    The first weight goes downhill all the way, the second turns back to where it began, the third moves against its
    gradient, and the fourth hardly moves.
    """
    weights = torch.tensor(
        [
            [0.0, 1.0, 0.5, 0.20],
            [0.3, 1.4, 0.8, 0.21],
            [0.5, 1.9, 1.0, 0.21],
            [0.9, 1.3, 1.3, 0.22],
            [1.2, 1.0, 1.5, 0.19],
        ]
    )
    gradients = torch.tensor(
        [[-2.0, -1.5, 0.8, -0.3], [-1.6, 0.4, 0.9, 0.2], [-1.1, 1.3, -0.4, -0.6], [0.3, 0.7, 0.5, 0.9]]
    )
    return list(weights), list(gradients)


def _shorter_walk() -> tuple[Path, Path]:
    """Return four positions of six weights, one of which ends where it began."""
    generator = torch.Generator().manual_seed(42)
    weights = list(torch.randn(4, 6, generator=generator))
    weights[-1][1] = weights[0][1]
    return weights, list(torch.randn(3, 6, generator=generator))


def _examine(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for name, walk, damping in (
        ("damping 0.1", _walk, 0.1),
        ("damping 0.001", _walk, 1e-3),
        ("damping 0.5, three steps", _shorter_walk, 0.5),
    ):
        weights, gradients = walk()
        given = [tensor.clone() for tensor in (*weights, *gradients)]
        found = answer(weights, gradients, damping)
        if any(not torch.equal(one, two) for one, two in zip(given, (*weights, *gradients), strict=True)):
            raise CheckFailed("your code changed the weights or gradients it was given. Compute on copies.")
        named = None if found is None else {name: found}
        numbers[f"{name}: the importance"] = tensors(named, "the importance")[name]
    return numbers


def _steps(weights: Path) -> Path:
    return [after - before for before, after in pairwise(weights)]


def _omega(weights: Path, gradients: Path) -> Tensor:
    return -torch.stack([g * step for g, step in zip(gradients, _steps(weights), strict=True)]).sum(0)


def _travelled(weights: Path) -> Tensor:
    return weights[-1] - weights[0]


def _by(
    omega: Callable[[Path, Path], Tensor] = _omega,
    squared: Callable[[Path], Tensor] = lambda weights: _travelled(weights).square(),
    clamp: Callable[[Tensor], Tensor] = lambda value: value.clamp(min=0),
) -> Callable[[Path, Path, float], Tensor]:
    """Return clamp(ω) / (Δ² + ξ), each part as given."""
    return lambda weights, gradients, damping: clamp(omega(weights, gradients)) / (squared(weights) + damping)


def _total(terms: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Path, Path], Tensor]:
    return lambda weights, gradients: torch.stack(
        [terms(g, step) for g, step in zip(gradients, _steps(weights), strict=True)]
    ).sum(0)


def _per_step(weights: Path, gradients: Path, damping: float) -> Tensor:
    terms = [-g * step / (step.square() + damping) for g, step in zip(gradients, _steps(weights), strict=True)]
    return torch.stack(terms).sum(0).clamp(min=0)


def _undivided(weights: Path, gradients: Path, damping: float) -> Tensor:
    return _omega(weights, gradients).clamp(min=0)


def _undamped(weights: Path, gradients: Path, damping: float) -> Tensor:
    return _omega(weights, gradients).clamp(min=0) / _travelled(weights).square()


def _damped_distance(weights: Path, gradients: Path, damping: float) -> Tensor:
    return _omega(weights, gradients).clamp(min=0) / (_travelled(weights) + damping).square()


_TRAVELLED = "Δ is the distance between the task's start and its end: weights[-1] − weights[0]."

path_importance = Exercise(
    number="4.2",
    reread="Importance without a Fisher",
    verified="each step's −g·Δθ is summed, negative sums count as zero, and the distance is start to end",
    reference=_by(),
    library=_by(),
    examine=_examine,
    mistakes=[
        Mistake(
            "the sign is wrong: the loss falls by −g·Δθ, and you summed +g·Δθ.", _by(_total(lambda g, step: g * step))
        ),
        Mistake(
            "negative sums were kept. Where the path integral is negative, the importance is 0.",
            _by(clamp=lambda value: value),
        ),
        Mistake(
            "the absolute value of the sum was taken. Where it is negative, the importance is 0.", _by(clamp=torch.abs)
        ),
        Mistake(
            "the absolute value of each step was taken: steps uphill have to be subtracted.",
            _by(_total(lambda g, step: (g * step).abs())),
        ),
        Mistake(
            "each step was clamped before summing: steps uphill have to be subtracted. Clamp the sum, at the end.",
            _by(_total(lambda g, step: (-g * step).clamp(min=0))),
        ),
        Mistake(
            "each gradient was multiplied by the distance from the start, not by its own step. Δθ of step t is "
            "weights[t + 1] − weights[t].",
            _by(
                lambda w, g: -torch.stack([each * (after - w[0]) for each, after in zip(g, w[1:], strict=True)]).sum(0)
            ),
        ),
        Mistake(
            "each gradient was multiplied by the weight itself, not by its step. Δθ of step t is weights[t + 1] − "
            "weights[t].",
            _by(lambda w, g: -torch.stack([each * before for each, before in zip(g, w[:-1], strict=True)]).sum(0)),
        ),
        Mistake("only the last step counts. Add up over all of them.", _by(lambda w, g: _omega(w[-2:], g[-1:]))),
        Mistake(
            "only the first step counts: is there a return inside the loop?", _by(lambda w, g: _omega(w[:2], g[:1]))
        ),
        Mistake(
            "each step was multiplied by the gradient after it. gradients[t] was taken before step t.",
            _by(lambda w, g: _omega(w[:-1], g[1:])),
        ),
        Mistake("the last step is missing.", _by(lambda w, g: _omega(w[:-1], g[:-1]))),
        Mistake("the first step is missing.", _by(lambda w, g: _omega(w[1:], g[1:]))),
        Mistake(
            "the whole distance was multiplied by the first gradient. The gradient changes on the way: go step by "
            "step.",
            _by(lambda w, g: -g[0] * _travelled(w)),
        ),
        Mistake(
            "the whole distance was multiplied by the last gradient. The gradient changes on the way: go step by step.",
            _by(lambda w, g: -g[-1] * _travelled(w)),
        ),
        Mistake(
            "the whole distance was multiplied by the sum of the gradients. Multiply step by step, then sum.",
            _by(lambda w, g: -torch.stack(g).sum(0) * _travelled(w)),
        ),
        Mistake(
            "the whole distance was multiplied by the mean gradient. Multiply step by step, then sum.",
            _by(lambda w, g: -torch.stack(g).mean(0) * _travelled(w)),
        ),
        Mistake("the mean over steps was taken. It is a sum.", _by(lambda w, g: _omega(w, g) / len(g))),
        Mistake(
            "the squared gradients were summed: that is a Fisher. Multiply each gradient by its step.",
            _by(_total(lambda g, step: g.square())),
        ),
        Mistake(
            f"the squares of the steps were summed. {_TRAVELLED}",
            _by(squared=lambda w: torch.stack(_steps(w)).square().sum(0)),
        ),
        Mistake(
            f"the lengths of the steps were summed. {_TRAVELLED}",
            _by(squared=lambda w: torch.stack(_steps(w)).abs().sum(0).square()),
        ),
        Mistake("the distance is not squared.", _by(squared=lambda w: _travelled(w).abs())),
        Mistake("each step was divided by its own square. Divide the sum by the whole distance's square.", _per_step),
        Mistake("nothing was divided: ω is in nats, Ω = ω / (Δ² + ξ).", _undivided),
        Mistake(
            "each step was multiplied by the gradient before it. gradients[t] was taken before step t: it belongs to "
            "weights[t + 1] − weights[t].",
            _by(lambda w, g: _omega(w[1:], g[:-1])),
        ),
        Mistake(
            f"the distance is the last step's. {_TRAVELLED}",
            _by(squared=lambda w: (w[-1] - w[-2]).square()),
        ),
        Mistake(
            f"the distance is the first step's. {_TRAVELLED}",
            _by(squared=lambda w: (w[1] - w[0]).square()),
        ),
        Mistake(
            f"the distance ends one step too early. {_TRAVELLED}",
            _by(squared=lambda w: (w[-2] - w[0]).square()),
        ),
        Mistake(
            f"the distance begins one step too late. {_TRAVELLED}",
            _by(squared=lambda w: (w[-1] - w[1]).square()),
        ),
        Mistake(
            f"the last weights themselves were squared, not their distance from the first. {_TRAVELLED}",
            _by(squared=lambda w: w[-1].square()),
        ),
        Mistake(
            "the distance is one number for all weights (a norm). Each weight is divided by its own.",
            _by(squared=lambda w: _travelled(w).square().sum()),
        ),
        Mistake(
            "ω is one number for all weights. Sum over the steps only, weight by weight.",
            _by(omega=lambda w, g: _omega(w, g).sum().expand_as(w[0])),
        ),
        Mistake(
            "positive sums were cut off and negative ones kept. Where the path integral is negative, the importance is "
            "0.",
            _by(clamp=lambda value: value.clamp(max=0)),
        ),
        Mistake(
            "everything but the largest sum was cut off. Cut each weight's sum at 0: clamp(min=0).",
            _by(clamp=lambda value: value.max().clamp(min=0).expand_as(value)),
        ),
        Mistake("the damping ξ is squared.", lambda w, g, damping: _by()(w, g, damping * damping)),
        Mistake(
            "the damping ξ is a least value of Δ² here. It is added: Δ² + ξ.",
            lambda w, g, damping: _omega(w, g).clamp(min=0) / _travelled(w).square().clamp(min=damping),
        ),
        Mistake(
            "this multiplies Δ² by the damping ξ. It is added, so that nothing is divided by zero: Δ² + ξ.",
            lambda w, g, damping: _omega(w, g).clamp(min=0) / (_travelled(w).square() * damping),
        ),
        Mistake(
            "ω is divided by the damping ξ alone. Divide by Δ² + ξ.",
            lambda w, g, damping: _omega(w, g).clamp(min=0) / damping,
        ),
        Mistake(
            "the root of Δ² + ξ was taken. Divide by Δ² + ξ itself.",
            lambda w, g, damping: _omega(w, g).clamp(min=0) / (_travelled(w).square() + damping).sqrt(),
        ),
        Mistake(
            "the step is squared under way: −g·Δθ², where −g·Δθ is right.",
            _by(_total(lambda g, step: -g * step.square())),
        ),
        Mistake(
            "the steps were summed without the gradients. ω is the sum of −g·Δθ.",
            _by(lambda w, g: -_travelled(w)),
        ),
        Mistake(
            "there is a factor ½ too many: ω is the sum of −g·Δθ itself.",
            _by(lambda w, g: _omega(w, g) / 2),
        ),
        Mistake(
            "the damping ξ was added to the quotient: brackets are missing below the line. Ω = ω / (Δ² + ξ).",
            lambda w, g, damping: _omega(w, g).clamp(min=0) / _travelled(w).square() + damping,
        ),
        Mistake(
            "the damping ξ was subtracted. It is added, so that nothing is divided by zero: Δ² + ξ.",
            lambda w, g, damping: _omega(w, g).clamp(min=0) / (_travelled(w).square() - damping),
        ),
        Mistake(
            "this multiplies by Δ² + ξ. Divide by it: nats per squared distance.",
            lambda w, g, damping: _omega(w, g).clamp(min=0) * (_travelled(w).square() + damping),
        ),
        Mistake("the damping ξ is missing: a weight that came back to where it began divides by zero.", _undamped),
        Mistake("the damping ξ was added to the distance before squaring: Δ² + ξ, not (Δ + ξ)².", _damped_distance),
    ],
)
