"""Exercise 2.1: where elastic weight consolidation comes to rest between two tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, tensors

_NAMES = ("old", "importance", "new", "curvature", "strength")
_INPUTS: dict[str, tuple[Tensor, Tensor, Tensor, Tensor, float]] = {
    "no correlation": (
        torch.tensor([1.0, -0.5]),
        torch.tensor([2.0, 0.25]),
        torch.tensor([-1.0, 1.5]),
        torch.tensor([[0.5, 0.0], [0.0, 3.0]]),
        0.7,
    ),
    "correlated inputs": (
        torch.tensor([0.4, 2.0]),
        torch.tensor([0.3, 1.7]),
        torch.tensor([2.2, -1.3]),
        torch.tensor([[1.5, 0.8], [0.8, 0.9]]),
        3.0,
    ),
    "a stiff spring": (
        torch.tensor([1.2, -0.7]),
        torch.tensor([0.6, 2.5]),
        torch.tensor([-0.4, 0.9]),
        torch.tensor([[2.0, -0.5], [-0.5, 1.6]]),
        1.8,
    ),
}


def _examine(answer: Callable[..., Any]) -> Numbers:
    found: Numbers = {}
    for name, inputs in _INPUTS.items():
        copies = [each.clone() if isinstance(each, Tensor) else each for each in inputs]
        solution = answer(*copies)
        if solution is None:
            raise CheckFailed("the solution is None: the answer has to end with a return statement.")
        for what, given, copied in zip(_NAMES, inputs, copies, strict=True):
            if isinstance(given, Tensor) and not torch.equal(given, torch.as_tensor(copied)):
                raise CheckFailed(
                    f"your code changed {what} itself, so what comes after computes with other numbers: += and -= do. "
                    "Write a = a + b."
                )
        found[f"{name}: the solution"] = tensors({name: solution}, "the solution")[name]
    return found


def _solution(
    *,
    left: Callable[[Tensor, Tensor, float], Tensor] = lambda curvature, importance, strength: (
        curvature + strength * torch.diag(importance)
    ),
    right: Callable[
        [Tensor, Tensor, Tensor, Tensor, float], Tensor
    ] = lambda old, importance, new, curvature, strength: curvature @ new + strength * importance * old,
) -> Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]:
    """Return an answer that solves ``left · weights = right``."""

    def rest(old: Tensor, importance: Tensor, new: Tensor, curvature: Tensor, strength: float) -> Tensor:
        return torch.linalg.solve(
            left(curvature, importance, strength), right(old, importance, new, curvature, strength)
        )

    return rest


_reference = _solution()

rest = Exercise(
    number="2.1",
    reread="Two tasks pull, a spring holds",
    verified="the gradient of the new loss and the spring's pull cancel there, with correlated inputs too",
    reference=_reference,
    library=_reference,
    examine=_examine,
    mistakes=[
        Mistake(
            "the two optima are exchanged: the spring holds the old one, the curvature belongs to the new one.",
            lambda old, importance, new, curvature, strength: _reference(new, importance, old, curvature, strength),
        ),
        Mistake(
            "only the diagonal of the curvature was used. The spring is diagonal, the new task's loss is not: "
            "solve the system of equations with torch.linalg.solve.",
            lambda old, importance, new, curvature, strength: _reference(
                old, importance, new, torch.diag(torch.diag(curvature)), strength
            ),
        ),
        Mistake(
            "the spring is half as strong as it should be: the ½ of the penalty goes away when it is differentiated, "
            "as does the ½ of the loss.",
            lambda old, importance, new, curvature, strength: _reference(old, importance, new, curvature, strength / 2),
        ),
        Mistake(
            "the spring is twice as strong as it should be: its penalty has a factor ½, so its pull is λ F (θ − θ*).",
            lambda old, importance, new, curvature, strength: _reference(old, importance, new, curvature, 2 * strength),
        ),
        Mistake(
            "the strength λ is missing.",
            lambda old, importance, new, curvature, strength: _reference(old, importance, new, curvature, 1.0),
        ),
        Mistake(
            "the importance is missing: this is where plain L2 comes to rest.",
            lambda old, importance, new, curvature, strength: _reference(
                old, torch.ones_like(importance), new, curvature, strength
            ),
        ),
        Mistake(
            "the importance is squared. It is a mean of squares already.",
            lambda old, importance, new, curvature, strength: _reference(
                old, importance.square(), new, curvature, strength
            ),
        ),
        Mistake(
            "the new task's curvature is missing: its loss is not equally steep in all directions.",
            lambda old, importance, new, curvature, strength: _reference(
                old, importance, new, torch.eye(len(new)), strength
            ),
        ),
        Mistake(
            "the curvature is missing on the right-hand side: the new task pulls with curvature @ new.",
            _solution(right=lambda old, importance, new, curvature, strength: new + strength * importance * old),
        ),
        Mistake(
            "the importance is missing on the right-hand side: the spring pulls with λ · importance · old.",
            _solution(right=lambda old, importance, new, curvature, strength: curvature @ new + strength * old),
        ),
        Mistake(
            "the strength is missing on the right-hand side: the spring pulls with λ · importance · old.",
            _solution(right=lambda old, importance, new, curvature, strength: curvature @ new + importance * old),
        ),
        Mistake(
            "the strength is missing on the left-hand side: the spring's stiffness is λ · importance.",
            _solution(left=lambda curvature, importance, strength: curvature + torch.diag(importance)),
        ),
        Mistake(
            "the importance is missing on the left-hand side: the spring's stiffness is λ · importance.",
            _solution(left=lambda curvature, importance, strength: curvature + strength * torch.eye(len(importance))),
        ),
        Mistake(
            "λ is divided by the importance: an important weight is then the freest. The spring's stiffness is "
            "λ · importance.",
            lambda old, importance, new, curvature, strength: _reference(old, 1 / importance, new, curvature, strength),
        ),
        Mistake(
            "the importance is divided by λ, or λ multiplies the new task's curvature. The spring's stiffness is "
            "λ · importance.",
            lambda old, importance, new, curvature, strength: _reference(old, importance, new, curvature, 1 / strength),
        ),
        Mistake(
            "the square root of the importance was taken. It is a mean of squares, but the spring is linear in it.",
            lambda old, importance, new, curvature, strength: _reference(
                old, importance.sqrt(), new, curvature, strength
            ),
        ),
        Mistake(
            "the strength is squared.",
            lambda old, importance, new, curvature, strength: _reference(old, importance, new, curvature, strength**2),
        ),
        Mistake(
            "a sign is wrong on the right-hand side: both tasks pull towards their own optimum, so their terms add.",
            _solution(
                right=lambda old, importance, new, curvature, strength: curvature @ new - strength * importance * old
            ),
        ),
        Mistake(
            "a sign is wrong on the left-hand side: curvature and spring both hold the weights, so they add.",
            _solution(left=lambda curvature, importance, strength: curvature - strength * torch.diag(importance)),
        ),
        Mistake(
            "the solution has the wrong sign.",
            lambda old, importance, new, curvature, strength: -_reference(old, importance, new, curvature, strength),
        ),
        Mistake(
            "this is how far the weights move from the old optimum. Return where they are.",
            lambda old, importance, new, curvature, strength: (
                _reference(old, importance, new, curvature, strength) - old
            ),
        ),
        Mistake(
            "this is how far the weights stay from the new optimum. Return where they are.",
            lambda old, importance, new, curvature, strength: (
                _reference(old, importance, new, curvature, strength) - new
            ),
        ),
        Mistake(
            "this is the middle between the two optima. Where the forces cancel depends on curvature and spring.",
            lambda old, importance, new, curvature, strength: (old + new) / 2,
        ),
        Mistake(
            "this is the right-hand side alone: solve for the weights with torch.linalg.solve.",
            lambda old, importance, new, curvature, strength: curvature @ new + strength * importance * old,
        ),
        Mistake(
            "this multiplies with the left-hand side instead of solving with it: torch.linalg.solve(left, right).",
            lambda old, importance, new, curvature, strength: (
                (curvature + strength * torch.diag(importance)) @ (curvature @ new + strength * importance * old)
            ),
        ),
        Mistake(
            "the new optimum was multiplied with the curvature entry by entry. The new task pulls with "
            "curvature @ new.",
            _solution(
                right=lambda old, importance, new, curvature, strength: (
                    torch.diag(curvature) * new + strength * importance * old
                )
            ),
        ),
        Mistake(
            "the curvature's entries were multiplied with the new optimum and summed down the columns. The new task "
            "pulls with curvature @ new, whose entries are sums along the rows.",
            _solution(
                right=lambda old, importance, new, curvature, strength: (
                    (curvature * new).sum(0) + strength * importance * old
                )
            ),
        ),
        Mistake(
            "the right-hand side was divided by the diagonal of the left. That solves the equations only where nothing "
            "stands beside the diagonal: torch.linalg.solve(left, right).",
            lambda old, importance, new, curvature, strength: (
                (curvature @ new + strength * importance * old) / (torch.diag(curvature) + strength * importance)
            ),
        ),
        Mistake(
            "the spring is missing on the left-hand side: it multiplies the unknown weights, too. The matrix is "
            "curvature + λ · diag(importance).",
            _solution(left=lambda curvature, importance, strength: curvature),
        ),
        Mistake(
            "the curvature is missing on the left-hand side. The matrix is curvature + λ · diag(importance).",
            _solution(left=lambda curvature, importance, strength: strength * torch.diag(importance)),
        ),
        Mistake(
            "the left-hand side was inverted entry by entry (1 / matrix). A matrix equation needs torch.linalg.solve.",
            lambda old, importance, new, curvature, strength: (
                (1 / (curvature + strength * torch.diag(importance))) @ (curvature @ new + strength * importance * old)
            ),
        ),
        Mistake(
            "a sign is wrong on both sides: curvature and spring both hold the weights, and both pull towards their "
            "own optimum. Their terms add, left and right.",
            lambda old, importance, new, curvature, strength: _reference(old, importance, new, curvature, -strength),
        ),
        Mistake(
            "the curvature's rows were summed to one number for each weight. A matrix stands before the unknown "
            "weights: torch.linalg.solve(left, right).",
            lambda old, importance, new, curvature, strength: (
                (curvature.sum(1) * new + strength * importance * old) / (curvature.sum(1) + strength * importance)
            ),
        ),
        Mistake(
            "the strength was added to the importance, or to every entry of the matrix. The spring's stiffness is "
            "their product, λ · importance, on the diagonal.",
            _solution(left=lambda curvature, importance, strength: curvature + strength + torch.diag(importance)),
        ),
        Mistake(
            "the strength was added to the importance. The spring's stiffness is their product, λ · importance.",
            lambda old, importance, new, curvature, strength: _reference(
                old, importance + strength, new, curvature, 1.0
            ),
        ),
        Mistake(
            "the new task's pull is missing on the right-hand side: curvature @ new.",
            _solution(right=lambda old, importance, new, curvature, strength: strength * importance * old),
        ),
        Mistake(
            "the spring's pull is missing on the right-hand side: λ · importance · old.",
            _solution(right=lambda old, importance, new, curvature, strength: curvature @ new),
        ),
        Mistake(
            "the spring's pull is squared on the right-hand side. It is λ · importance · old, once.",
            _solution(
                right=lambda old, importance, new, curvature, strength: (
                    curvature @ new + (strength * importance).square() * old
                )
            ),
        ),
        Mistake(
            "old and new are weighted by λ alone. Where the forces cancel depends on curvature and importance too.",
            lambda old, importance, new, curvature, strength: (new + strength * old) / (1 + strength),
        ),
        Mistake(
            "the new optimum is returned: the spring pulls away from it.",
            lambda old, importance, new, curvature, strength: new.clone(),
        ),
        Mistake(
            "the old optimum is returned: the new task pulls away from it.",
            lambda old, importance, new, curvature, strength: old.clone(),
        ),
        Mistake(
            "this is one gradient step away from the new optimum. Solve for where both forces cancel.",
            lambda old, importance, new, curvature, strength: new - strength * importance * (new - old),
        ),
        Mistake(
            "the importance was added to every row of the curvature: put it on the diagonal with torch.diag.",
            _solution(left=lambda curvature, importance, strength: curvature + strength * importance),
        ),
        Mistake(
            "the curvature was inverted entry by entry. A matrix equation needs torch.linalg.solve.",
            lambda old, importance, new, curvature, strength: (
                (curvature @ new + strength * importance * old) / (curvature + strength * torch.diag(importance)).sum(1)
            ),
        ),
    ],
)
