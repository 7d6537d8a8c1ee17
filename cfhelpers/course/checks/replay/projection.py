"""Exercise 7.3: the projection of A-GEM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, tensors

Gradient = dict[str, Tensor]


def _dot(one: Gradient, other: Gradient) -> float:
    return sum(float((one[name] * other[name]).sum()) for name in one)


def _cases() -> dict[str, tuple[Gradient, Gradient]]:
    """Gradients that conflict, that agree, that conflict in one tensor only, and of another size."""
    generator = torch.Generator().manual_seed(7)

    def draw(**shapes: tuple[int, ...]) -> Gradient:
        return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}

    shapes = {"weight": (3, 2), "bias": (2,)}
    first, old = draw(**shapes), draw(**shapes)
    sign = 1 if _dot(first, old) < 0 else -1
    against = {name: sign * tensor for name, tensor in first.items()}
    along = {name: -tensor for name, tensor in against.items()}
    one_part = {"weight": old["weight"] + 0.1, "bias": -0.2 * old["bias"]}
    large = draw(embedding=(4, 5), norm=(5,), head=(1, 5))
    opposite = {name: -0.5 * tensor + 0.3 for name, tensor in large.items()}
    return {
        "gradients in conflict": (against, old),
        "gradients that agree": (along, old),
        "gradients that agree but for one tensor": (one_part, old),
        "gradients of another model": (opposite, large),
    }


def _examine(answer: Callable[[Gradient, Gradient], Any]) -> Numbers:
    numbers: Numbers = {}
    for what, (gradient, reference) in _cases().items():
        given = [{name: tensor.clone() for name, tensor in each.items()} for each in (gradient, reference)]
        found = tensors(answer(*given), "the projected gradient")
        if any(not torch.equal(given[1][name], reference[name]) for name in reference):
            raise CheckFailed("your code changed the reference gradient. Only read it.")
        numbers |= {f"{what}: {name}": values for name, values in found.items()}
    return numbers


def _projecting(
    factor: Callable[[Gradient, Gradient], float], *, always: bool = False, when: int = -1
) -> Callable[[Gradient, Gradient], Gradient]:
    """Subtract a multiple of the reference, where the two conflict."""

    def answer(gradient: Gradient, reference: Gradient) -> Gradient:
        if not always and when * _dot(gradient, reference) <= 0:
            return dict(gradient)
        share = factor(gradient, reference)  # once: the notebook goes on with this, on every tensor of its model
        return {name: gradient[name] - share * reference[name] for name in gradient}

    return answer


def _right(gradient: Gradient, reference: Gradient) -> float:
    return _dot(gradient, reference) / _dot(reference, reference)


_reference = _projecting(_right)


def _each_tensor(gradient: Gradient, reference: Gradient) -> Gradient:
    return {name: _reference({name: gradient[name]}, {name: reference[name]})[name] for name in gradient}


def _sum_of_ratios(gradient: Gradient, reference: Gradient) -> float:
    return sum(_right({name: gradient[name]}, {name: reference[name]}) for name in gradient)


def _from_the_gradient(gradient: Gradient, reference: Gradient) -> Gradient:
    if _dot(gradient, reference) >= 0:
        return dict(gradient)
    factor = _dot(gradient, reference) / _dot(gradient, gradient)
    return {name: reference[name] - factor * gradient[name] for name in gradient}


def _replaced(by: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Gradient, Gradient], Gradient]:
    """Do something simpler where the two conflict."""

    def answer(gradient: Gradient, reference: Gradient) -> Gradient:
        if _dot(gradient, reference) >= 0:
            return dict(gradient)
        return {name: by(gradient[name], reference[name]) for name in gradient}

    return answer


project = Exercise(
    number="7.3",
    reread="Only where it hurts",
    verified="a conflict is taken out over all tensors together, and a gradient that does no harm is left as it is",
    reference=_reference,
    library=_reference,
    examine=_examine,
    mistakes=[
        Mistake(
            "the part along the old gradient is taken out even where the two agree, so that what helps both is lost. "
            "Project only if g·g_ref < 0.",
            _projecting(_right, always=True),
        ),
        Mistake(
            "the condition is turned round: agreement is taken out and conflict left in. Project if g·g_ref < 0.",
            _projecting(_right, when=1),
        ),
        Mistake(
            "the sign is wrong: the conflict is doubled. With g·g_ref < 0, minus the fraction times g_ref adds along "
            "g_ref.",
            _projecting(lambda g, r: -_right(g, r)),
        ),
        Mistake(
            "you divide by the length of g_ref, not by its square, g_ref·g_ref.",
            _projecting(lambda g, r: _dot(g, r) / _dot(r, r) ** 0.5),
        ),
        Mistake("you forgot to divide by g_ref·g_ref.", _projecting(_dot)),
        Mistake(
            "you divide by g·g. It is the old gradient's direction that is taken out: divide by g_ref·g_ref.",
            _projecting(lambda g, r: _dot(g, r) / _dot(g, g)),
        ),
        Mistake(
            "you divide by both lengths: that is the cosine. Divide by g_ref·g_ref.",
            _projecting(lambda g, r: _dot(g, r) / (_dot(g, g) * _dot(r, r)) ** 0.5),
        ),
        Mistake(
            "each tensor is projected by itself. The two gradients are one long vector each: sum the products over all "
            "tensors first.",
            _each_tensor,
        ),
        Mistake(
            "the fractions of the tensors were added up. Sum the products and the squares over all tensors, then "
            "divide once.",
            _projecting(_sum_of_ratios),
        ),
        Mistake(
            "the old gradient was projected off the new one. Take the part along g_ref out of g.", _from_the_gradient
        ),
        Mistake(
            "where they conflict the old gradient was taken instead: the new task then learns nothing in this step.",
            _replaced(lambda g, r: r),
        ),
        Mistake(
            "where they conflict the step was dropped. Only the part along g_ref has to go.",
            _replaced(lambda g, r: torch.zeros_like(g)),
        ),
        Mistake(
            "the gradients were added up: that is replay. A-GEM takes the conflict out and adds nothing else.",
            _projecting(lambda g, r: -1.0, always=True),
        ),
        Mistake("nothing was projected: the gradient comes back as it was.", lambda g, r: dict(g)),
    ],
)
