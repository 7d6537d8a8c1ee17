"""Exercise 5.1: what a pair of small matrices adds to a large one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from cfhelpers.course.checks.adapters.matrices import factors, matrix, untouched
from cfhelpers.course.checks.exercise import Exercise, Mistake, Numbers

# Square layers too, so that a transpose shows in the numbers and not in the shape; rank, α and widths all differ.
_CASES = {
    "a square Linear": (1, 2, 5, 5, 6.0, False),
    "a square Conv1D": (2, 3, 5, 5, 4.0, True),
    "a wide Linear": (3, 3, 4, 7, 8.0, False),
    "a wide Conv1D": (4, 2, 4, 7, 5.0, True),
    "a narrow Linear": (5, 2, 6, 4, 3.0, False),
    "a narrow Conv1D": (6, 3, 6, 4, 7.0, True),
}


def _examine(answer: Callable[..., Any]) -> Numbers:
    found = {}
    for name, (seed, rank, inputs, outputs, alpha, conv1d) in _CASES.items():
        A, B = factors(seed, rank, inputs, outputs)
        what = f"the update of {name}"
        found[what] = matrix(untouched(answer, (A, B), A, B, alpha, conv1d), what)
    return found


def _reference(A: Tensor, B: Tensor, alpha: float, conv1d: bool) -> Tensor:
    update = alpha / A.shape[0] * (B @ A)
    return update.T if conv1d else update


def _with(
    scale: Callable[[Tensor, Tensor, float], float], turn: Callable[[bool], bool] = bool
) -> Callable[..., Tensor]:
    """Make an answer with another scale, or transposed on another occasion."""

    def answer(A: Tensor, B: Tensor, alpha: float, conv1d: bool) -> Tensor:
        update = scale(A, B, alpha) * (B @ A)
        return update.T if turn(conv1d) else update

    return answer


def _right(A: Tensor, B: Tensor, alpha: float) -> float:
    return alpha / A.shape[0]


def _by_square(A: Tensor, B: Tensor, alpha: float) -> float:
    return alpha / A.shape[0] ** 2


_TURN = "GPT-2's Conv1D keeps its weight as [inputs, outputs], Linear as [outputs, inputs]"

low_rank_update = Exercise(
    number="5.1",
    reread="What an adapter adds",
    verified="B A times α/r, transposed for Conv1D and for nothing else",
    reference=_reference,
    library=_reference,
    examine=_examine,
    mistakes=[
        Mistake("the factor α/r is missing: B A alone is the update at α = r.", _with(lambda A, B, alpha: 1.0)),
        Mistake("B A is multiplied by α, but not divided by the rank r.", _with(lambda A, B, alpha: alpha)),
        Mistake("B A is divided by the rank r, but not multiplied by α.", _with(lambda A, B, alpha: 1 / A.shape[0])),
        Mistake(
            "B A is divided by √r. That is rsLoRA (Kalajdzievski, 2023); plain LoRA divides by r.",
            _with(lambda A, B, alpha: alpha / A.shape[0] ** 0.5),
        ),
        Mistake(
            "you divide by the number of inputs. The rank r is A.shape[0], the small side.",
            _with(lambda A, B, alpha: alpha / A.shape[1]),
        ),
        Mistake(
            "you divide by the number of outputs. The rank r is A.shape[0], the small side.",
            _with(lambda A, B, alpha: alpha / B.shape[0]),
        ),
        Mistake(
            "the factor α/r is in there twice, once with each matrix. The product gets it once.",
            _with(lambda A, B, alpha: (alpha / A.shape[0]) ** 2),
        ),
        Mistake("the factor is upside down: r/α where α/r is right.", _with(lambda A, B, alpha: A.shape[0] / alpha)),
        Mistake(f"nothing is transposed. {_TURN}.", _with(_right, lambda conv1d: False)),
        Mistake(f"everything is transposed. {_TURN}.", _with(_right, lambda conv1d: True)),
        Mistake(f"Linear is transposed where Conv1D should be. {_TURN}.", _with(_right, lambda conv1d: not conv1d)),
        Mistake(
            f"nothing is transposed, and the factor α/r is missing. {_TURN}.",
            _with(lambda A, B, alpha: 1.0, lambda conv1d: False),
        ),
        Mistake(
            "B A is multiplied by the rank r instead of divided by it.", _with(lambda A, B, alpha: alpha * A.shape[0])
        ),
        Mistake("α is squared.", _with(lambda A, B, alpha: alpha**2 / A.shape[0])),
        Mistake("B A is divided by r², once with each matrix. The product is divided by r.", _with(_by_square)),
        Mistake(
            "B A is multiplied by √(α/r). The factor is α/r itself.",
            _with(lambda A, B, alpha: _right(A, B, alpha) ** 0.5),
        ),
        Mistake("there is a ½ too many.", _with(lambda A, B, alpha: _right(A, B, alpha) / 2)),
        Mistake(
            f"everything is transposed, and the factor α/r is missing. {_TURN}.",
            _with(lambda A, B, alpha: 1.0, lambda conv1d: True),
        ),
        Mistake(
            f"Linear is transposed where Conv1D should be, and the factor α/r is missing. {_TURN}.",
            _with(lambda A, B, alpha: 1.0, lambda conv1d: not conv1d),
        ),
        Mistake(
            f"nothing is transposed, and B A is not divided by the rank r. {_TURN}.",
            _with(lambda A, B, alpha: alpha, lambda conv1d: False),
        ),
        Mistake(
            f"nothing is transposed, and B A is divided by √r. {_TURN}; plain LoRA divides by r.",
            _with(lambda A, B, alpha: alpha / A.shape[0] ** 0.5, lambda conv1d: False),
        ),
        Mistake(
            "α/r is taken for Linear alone: Conv1D's update is multiplied by it as well.",
            lambda A, B, alpha, conv1d: (B @ A).T if conv1d else _right(A, B, alpha) * (B @ A),
        ),
        Mistake(
            "α/r is taken for Conv1D alone: Linear's update is multiplied by it as well.",
            lambda A, B, alpha, conv1d: _right(A, B, alpha) * (B @ A).T if conv1d else B @ A,
        ),
        Mistake(
            "the sign is wrong: the update is added to the weight.", _with(lambda A, B, alpha: -_right(A, B, alpha))
        ),
        Mistake(
            "the update is reshaped where it should be transposed: the numbers then stand in other places. Use .T.",
            lambda A, B, alpha, conv1d: (
                (_right(A, B, alpha) * (B @ A)).reshape(A.shape[1], B.shape[0])
                if conv1d
                else _right(A, B, alpha) * (B @ A)
            ),
        ),
        Mistake(
            "// cuts off what stands behind the point: α // r. Divide with /.",
            _with(lambda A, B, alpha: alpha // A.shape[0]),
        ),
        Mistake("B A is divided by α. Multiply by α, divide by r.", _with(lambda A, B, alpha: 1 / alpha)),
    ],
)
