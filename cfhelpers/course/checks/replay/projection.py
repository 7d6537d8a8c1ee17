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
    along = {name: tensor if (tensor * old[name]).sum() > 0 else -tensor for name, tensor in against.items()}
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


def _both_squares(gradient: Gradient, reference: Gradient) -> float:
    return _dot(gradient, reference) / (_dot(gradient, gradient) * _dot(reference, reference))


def _only_along(gradient: Gradient, reference: Gradient) -> Gradient:
    if _dot(gradient, reference) >= 0:
        return dict(gradient)
    return {name: _right(gradient, reference) * reference[name] for name in gradient}


def _by_one_tensor(place: int) -> Callable[[Gradient, Gradient], Gradient]:
    def answer(gradient: Gradient, reference: Gradient) -> Gradient:
        name = list(gradient)[place]
        one, other = {name: gradient[name]}, {name: reference[name]}
        if _dot(one, other) >= 0:
            return dict(gradient)
        return {each: gradient[each] - _right(one, other) * reference[each] for each in gradient}

    return answer


def _rescaled(gradient: Gradient, reference: Gradient) -> Gradient:
    projected = _reference(gradient, reference)
    factor = (_dot(gradient, gradient) / _dot(projected, projected)) ** 0.5
    return {name: factor * tensor for name, tensor in projected.items()}


def _each_if_the_whole(gradient: Gradient, reference: Gradient) -> Gradient:
    if _dot(gradient, reference) >= 0:
        return dict(gradient)
    project_all = _projecting(_right, always=True)
    return {name: project_all({name: gradient[name]}, {name: reference[name]})[name] for name in gradient}


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
        Mistake("there is a ½ too many: half of the conflict is left in.", _projecting(lambda g, r: _right(g, r) / 2)),
        Mistake(
            "the part along the old gradient is taken out twice, so that it points the other way.",
            _projecting(lambda g, r: 2 * _right(g, r)),
        ),
        Mistake(
            "you divide by both squares, g·g and g_ref·g_ref. Divide by g_ref·g_ref alone.", _projecting(_both_squares)
        ),
        Mistake(
            "where they conflict the two gradients were added up. Only the part along g_ref has to go.",
            _replaced(lambda g, r: g + r),
        ),
        Mistake(
            "where they conflict the two gradients were averaged. Only the part along g_ref has to go.",
            _replaced(lambda g, r: (g + r) / 2),
        ),
        Mistake(
            "where they conflict the gradient was turned round. Only the part along g_ref has to go.",
            _replaced(lambda g, r: -g),
        ),
        Mistake(
            "where they conflict the old gradient was subtracted whole. Subtract the part of g along it: (g·g_ref / "
            "g_ref·g_ref) g_ref.",
            _replaced(lambda g, r: g - r),
        ),
        Mistake(
            "only the part along the old gradient is left, and the rest is gone. It is the other way round.",
            _only_along,
        ),
        Mistake(
            "each entry that conflicts is set to 0. The two gradients are one long vector each: one product decides "
            "for all.",
            lambda g, r: {name: torch.where(g[name] * r[name] < 0, torch.zeros_like(g[name]), g[name]) for name in g},
        ),
        Mistake(
            "the gradients are averaged: that is replay. A-GEM takes the conflict out and adds nothing else.",
            lambda g, r: {name: (g[name] + r[name]) / 2 for name in g},
        ),
        Mistake(
            "the last tensor's products alone decide and divide: is the sum begun anew in the loop (= for +=)?",
            _by_one_tensor(-1),
        ),
        Mistake("the first tensor's products alone decide and divide. Sum over all tensors.", _by_one_tensor(0)),
        Mistake(
            "the product was divided by the number of entries (a mean for a sum). Sum both, or average both.",
            _projecting(lambda g, r: _right(g, r) / sum(tensor.numel() for tensor in g.values())),
        ),
        Mistake(
            "the result was brought back to the gradient's old length. A-GEM leaves it shorter.",
            _rescaled,
        ),
        Mistake(
            "the old gradient comes back, never the new one.",
            lambda g, r: dict(r),
        ),
        Mistake("nothing was projected: the gradient comes back as it was.", lambda g, r: dict(g)),
        Mistake(
            "a conflict in one tensor decides for the whole. The two gradients are one long vector each: sum the "
            "products over all tensors, then ask whether g·g_ref < 0.",
            lambda g, r: _projecting(_right, always=True)(g, r) if any((g[n] * r[n]).sum() < 0 for n in g) else dict(g),
        ),
        Mistake(
            "whether there is a conflict is asked of the whole, but each tensor is projected by itself. Sum products "
            "and squares over all tensors, then divide once.",
            _each_if_the_whole,
        ),
    ],
)
