"""Exercise 3.3: the penalty."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number
from cfhelpers.course.checks.toys import ToyLanguageModel, Unharmed
from cfhelpers.methods.penalty import QuadraticPenalty

# Case: λ, vocabulary and width of the model, and a weight that is not important.
_CASES = {"λ = 5": (5.0, (9, 4), ""), "λ = 0.7, some weights free": (0.7, (7, 3), "mixing.weight")}


def _toy_importance(model: nn.Module, free: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(9)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad and name != free}
    return {name: 0.2 + torch.rand(p.shape, generator=generator) for name, p in trainable.items()}


def _examine_penalty(answer: Callable[..., Any]) -> Numbers:
    return {f"{case}: {name}": array for case in _CASES for name, array in _penalty_in(answer, case).items()}


def _penalty_in(answer: Callable[..., Any], case: str) -> Numbers:
    strength, sizes, free = _CASES[case]
    model = ToyLanguageModel(*sizes)
    importance = _toy_importance(model, free)
    given = {name: tensor.clone() for name, tensor in importance.items()}
    penalty = _made(answer, model, given, strength)
    late = answer(model, {name: tensor.clone() for name, tensor in importance.items()}, strength)
    numbers = {"value at the anchor": number(penalty.value(model), "value")}
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():  # as an optimizer does: in place
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape, generator=generator)
    unharmed = Unharmed(model)
    value = penalty.value(model)
    numbers["value after moving"] = number(value, "value")
    if isinstance(value, Tensor) and value.shape != ():
        raise CheckFailed(
            f"the value has shape {list(value.shape)}, but a penalty is one number, of shape []: is it begun with "
            "torch.zeros(1), or summed with keepdim=True?"
        )
    if not isinstance(value, Tensor) or not value.requires_grad:
        raise CheckFailed(
            "the value is a plain number without a graph, so it cannot pull on the weights. Keep it a tensor: no "
            ".item(), "
            ".data or torch.no_grad() in value."
        )
    unharmed.check()
    value.backward()
    gradients = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if all(p.grad is None for p in gradients.values()):
        raise CheckFailed(
            "the value has no path back to the weights: it was cut off (torch.tensor, float or detach) and begun anew. "
            "Compute it from the parameters themselves."
        )
    numbers |= {f"gradient of {name}": _as_array(p.grad, p) for name, p in gradients.items()}
    model.zero_grad()
    _require_the_same_again(penalty, model, number(value, "value"))
    if not all(torch.equal(given[name], importance[name]) for name in importance):
        raise CheckFailed(
            "your code changed the importance that it was given (mul_ and *= do), so that the next penalty that is "
            "made of it would have another strength. Compute with a new tensor."
        )
    first, later = float(late.value(model).detach()), float(value.detach())
    if abs(first - later) > 1e-3 * abs(later) and first < 1e-6:
        raise CheckFailed(
            "the anchor is taken when value() is first called, and not when the penalty is made: what the model has "
            "moved until then is not penalised. Store the copies in __init__."
        )
    _require_error_for_unknown_names(answer, model, importance, strength)
    return numbers


def _made(answer: Callable[..., Any], model: nn.Module, importance: dict[str, Tensor], strength: float) -> Any:
    """Return an answer's penalty that can give its value; say of a parameter without importance what stopped it."""
    try:
        penalty = answer(model, importance, strength)
        penalty.value(model)
    except KeyError as error:
        name = error.args[0] if error.args else None
        if name in dict(model.named_parameters()) and name not in importance:
            raise CheckFailed(
                f"your code stopped with KeyError: {name!r}, a parameter that has no importance, for it is frozen or "
                "free. Go through the names of the importance, not of the model."
            ) from error
        raise
    return penalty


def _require_the_same_again(penalty: Any, model: nn.Module, value: Any) -> None:
    """Raise CheckFailed if a second call gives another number, or another model the same one."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.5
    if np.allclose(number(penalty.value(other), "value"), value, rtol=1e-4):
        raise CheckFailed(
            "the value is the same for two models with different weights: value() looks at the model that the penalty "
            "was made with, or at an earlier result. Take the weights of its argument."
        )
    if not np.allclose(number(penalty.value(model), "value"), value, rtol=1e-4):
        raise CheckFailed(
            "the value is another one each time it is asked, though no weight has moved: something is added up, or the "
            "anchor is moved, from call to call. Compute it anew from the copies of __init__."
        )


def _as_array(gradient: Tensor | None, like: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    return (torch.zeros_like(like) if gradient is None else gradient.detach()).double().numpy()


def _require_error_for_unknown_names(
    answer: Callable[..., Any], model: nn.Module, importance: dict[str, Tensor], strength: float
) -> None:
    """Raise CheckFailed if names that no parameter has go unnoticed: all, as a wrapper's prefix makes them, or one."""
    stranger = {"module.embedding.weight": importance["embedding.weight"]}
    for misfit in ({f"module.{name}": tensor for name, tensor in importance.items()}, {**importance, **stranger}):
        try:
            answer(model, misfit, strength).value(model)
        except NotImplementedError:
            raise
        except Exception:  # whichever error the answer raises for such names: that there is one is what is asked
            continue
        raise CheckFailed(
            "an importance with a name that fits no parameter (“module.embedding.weight”) gives a penalty without a "
            "word, and what has that name protects nothing. Go through the importance's names and let a missing one be "
            "an error: no “if name in importance”."
        )


class _Penalty:
    """The elastic penalty; subclasses make one mistake each."""

    def __init__(self, model: nn.Module, importance: Mapping[str, Tensor], strength: float) -> None:
        self.importance, self.strength = importance, strength
        weights = dict(model.named_parameters())
        self.anchor = {name: self.remember(weights[name]) for name in importance}

    def remember(self, weight: Tensor) -> Tensor:
        return weight.detach().clone()

    def value(self, model: nn.Module) -> Tensor:
        weights = dict(model.named_parameters())
        terms = [self.term(self.importance[name], weights[name] - self.anchor[name]) for name in self.importance]
        return self.combine(terms)

    def term(self, importance: Tensor, distance: Tensor) -> Tensor:
        return (importance * distance.square()).sum()

    def combine(self, terms: list[Tensor]) -> Tensor:
        return self.strength / 2 * torch.stack(terms).sum()


class _LibraryPenalty(QuadraticPenalty):
    """The library's penalty under the exercise's signature."""

    def __init__(self, model: nn.Module, importance: Mapping[str, Tensor], strength: float) -> None:
        super().__init__(importance, model, strength)


def _penalty_with(**methods: Callable[..., Any]) -> type[_Penalty]:
    return cast("type[_Penalty]", type("Imitation", (_Penalty,), methods))


class _PlusAnchor(_Penalty):
    def value(self, model: nn.Module) -> Tensor:
        weights = dict(model.named_parameters())
        terms = [self.term(self.importance[name], weights[name] + self.anchor[name]) for name in self.importance]
        return self.combine(terms)


class _OfSquares(_Penalty):
    def value(self, model: nn.Module) -> Tensor:
        weights = dict(model.named_parameters())
        squares = {name: weights[name].square() - self.anchor[name].square() for name in self.importance}
        return self.combine([(self.importance[name] * squares[name]).sum() for name in squares])


def _half(self: _Penalty, terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum() / 2


penalty = Exercise(
    number="3.3",
    reread="A spring on every weight",
    verified="value and gradient are right, the anchor is a copy that stays, and names that do not fit are an error",
    reference=_Penalty,
    library=_LibraryPenalty,
    examine=_examine_penalty,
    mistakes=[
        Mistake(
            "the anchor moves along with the model, so the penalty is always zero. Store copies: "
            "parameter.detach().clone(). "
            "A detached tensor alone still shares the parameter's memory.",
            _penalty_with(remember=lambda self, weight: weight.detach()),
        ),
        Mistake(
            "the value is right but its gradient is zero: clone() alone keeps the anchor on the graph, so "
            "gradients flow "
            "through it too and cancel. Store parameter.detach().clone().",
            _penalty_with(remember=lambda self, weight: weight.clone()),
        ),
        Mistake(
            "the factor ½ is missing: everything is twice as strong as λ says.",
            _penalty_with(combine=lambda self, terms: self.strength * torch.stack(terms).sum()),
        ),
        Mistake(
            "λ is squared. Is it inside the square? ½ Σ F (λ Δ)² has λ². Multiply the sum by λ / 2.",
            _penalty_with(combine=lambda self, terms: self.strength**2 / 2 * torch.stack(terms).sum()),
        ),
        Mistake(
            "λ and ½ are squared. Are they inside the square? Multiply the sum of F Δ² by λ / 2.",
            _penalty_with(combine=lambda self, terms: self.strength**2 / 4 * torch.stack(terms).sum()),
        ),
        Mistake(
            "the penalty is divided by λ: a larger strength has to pull harder.",
            _penalty_with(combine=lambda self, terms: torch.stack(terms).sum() / (2 * self.strength)),
        ),
        Mistake(
            "the factor ½ is applied twice.",
            _penalty_with(combine=lambda self, terms: self.strength / 4 * torch.stack(terms).sum()),
        ),
        Mistake(
            "the square root of the sum was taken: the penalty is the sum itself.",
            _penalty_with(combine=lambda self, terms: self.strength / 2 * torch.stack(terms).sum().sqrt()),
        ),
        Mistake(
            "only the first tensor counts: is there a return inside the loop?",
            _penalty_with(combine=lambda self, terms: self.strength / 2 * terms[0]),
        ),
        Mistake("the strength λ is missing.", _penalty_with(combine=_half)),
        Mistake(
            "the strength λ and the factor ½ are missing.",
            _penalty_with(combine=lambda self, terms: torch.stack(terms).sum()),
        ),
        Mistake(
            "the sign is wrong: this rewards moving away from the anchor.",
            _penalty_with(combine=lambda self, terms: -self.strength / 2 * torch.stack(terms).sum()),
        ),
        Mistake(
            "the importance is missing: this pulls every weight alike, which is plain L2.",
            _penalty_with(term=lambda self, importance, distance: distance.square().sum()),
        ),
        Mistake(
            "the importance is squared too. Only the distance is squared.",
            _penalty_with(term=lambda self, importance, distance: (importance * distance).square().sum()),
        ),
        Mistake(
            "the square root of the importance was taken, but it is a mean of squares already.",
            _penalty_with(term=lambda self, importance, distance: (importance.sqrt() * distance.square()).sum()),
        ),
        Mistake(
            "this divides by the importance, so that important weights are the freest.",
            _penalty_with(term=lambda self, importance, distance: (distance.square() / importance).sum()),
        ),
        Mistake(
            "the distance is not squared.",
            _penalty_with(term=lambda self, importance, distance: (importance * distance.abs()).sum()),
        ),
        Mistake(
            "the distance is not squared, so that moving one way is rewarded.",
            _penalty_with(term=lambda self, importance, distance: (importance * distance).sum()),
        ),
        Mistake(
            "each tensor's mean was taken, so that large matrices count less. The penalty is a sum over all weights.",
            _penalty_with(term=lambda self, importance, distance: (importance * distance.square()).mean()),
        ),
        Mistake(
            "importance and distance were summed before they were multiplied. Multiply weight by weight, then sum.",
            _penalty_with(term=lambda self, importance, distance: importance.sum() * distance.square().sum()),
        ),
        Mistake(
            "the penalty was averaged over the tensors. It is a sum over all weights.",
            _penalty_with(combine=lambda self, terms: self.strength / 2 * torch.stack(terms).mean()),
        ),
        Mistake(
            "only the last tensor counts: add up over all of them.",
            _penalty_with(combine=lambda self, terms: self.strength / 2 * terms[-1]),
        ),
        Mistake(
            "importance times distance was summed before it was squared. Square weight by weight, then sum.",
            _penalty_with(term=lambda self, importance, distance: (importance * distance).sum().square()),
        ),
        Mistake(
            "the distances were summed before they were squared. Square weight by weight, then sum.",
            _penalty_with(term=lambda self, importance, distance: importance.sum() * distance.sum().square()),
        ),
        Mistake(
            "each tensor's norm was taken without its square.",
            _penalty_with(term=lambda self, importance, distance: (importance * distance.square()).sum().sqrt()),
        ),
        Mistake(
            "each tensor's distance was taken as a norm without its square.",
            _penalty_with(term=lambda self, importance, distance: (importance * distance.norm()).sum()),
        ),
        Mistake(
            "the sum was divided by the number of weights. The penalty is a sum over all of them.",
            _penalty_with(
                combine=lambda self, terms: (
                    self.strength / 2 * torch.stack(terms).sum() / sum(f.numel() for f in self.importance.values())
                )
            ),
        ),
        Mistake(
            "the distance is taken to the fourth power. It is squared.",
            _penalty_with(term=lambda self, importance, distance: (importance * distance**4).sum()),
        ),
        Mistake(
            "everything is twice as strong again: 2 λ where λ / 2 is right.",
            _penalty_with(combine=lambda self, terms: 2 * self.strength * torch.stack(terms).sum()),
        ),
        Mistake(
            "the anchor is added to the weights, not subtracted from them.",
            _PlusAnchor,
        ),
        Mistake(
            "the difference of the squares was taken. Take the square of the difference.",
            _OfSquares,
        ),
        Mistake(
            "the weights themselves are penalised, not their distance to the anchor: this is weight decay.",
            _penalty_with(remember=lambda self, weight: torch.zeros_like(weight).detach()),
        ),
    ],
)
