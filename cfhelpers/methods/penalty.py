"""The quadratic penalty that holds parameters near an anchor (Kirkpatrick et al., 2017)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, cast

import torch
from torch import Tensor, _foreach_addcmul_, _foreach_sub, nn  # pyright: ignore[reportPrivateImportUsage]

from cfhelpers.fisher.importance import Importance
from cfhelpers.fisher.matching import check_match
from cfhelpers.fisher.naming import named_parameters, refuse_sharded
from cfhelpers.fisher.storage import Stored

# Entries worked on at a time: temporary memory then stays small enough to be used again instead of asked for anew.
ENTRIES = 1 << 20
Piece = tuple[Tensor, Tensor, Tensor, Stored]


class QuadraticPenalty:
    """``strength / 2 * sum_i F_i (theta_i - anchor_i)²`` over all entries of the importance F.

    An importance that is :meth:`~cfhelpers.fisher.Importance.stored` in half precision stays so, and is expanded piece
    by piece when it is used; if it is stored on a device of its own, the anchor is kept there too. The anchor is never
    rounded: it has the precision in which it is given, because an anchor that is off by a rounding pulls the weights
    there. (In bfloat16, that is by up to 1/256 of each weight, which is more than fine-tuning moves many of them.)

    Args:
        importance: Parameter name to non-negative weight F, shaped like the parameter (an :class:`Importance`). None
            weighs each trainable parameter of the anchor, then a model, with 1, and keeps one number for each.
        anchor: The parameters to stay near: a model, or a mapping with at least the names of ``importance``. Detached
            and copied, so training the model later does not move it.
        strength: λ ≥ 0. It has no meaning without the scale of F: sweep it on a log grid.

    Attributes:
        importance: Name to F.
        anchor: Name to anchor.

    Raises:
        ValueError: ``importance`` is empty, the anchor lacks one of its names, a shape differs, tensors are sharded
            over processes, or ``strength`` is negative or not finite.
    """

    def __init__(
        self, importance: Mapping[str, Tensor] | None, anchor: nn.Module | Mapping[str, Tensor], strength: float
    ) -> None:
        tensors = named_parameters(anchor) if isinstance(anchor, nn.Module) else anchor
        refuse_sharded(tensors)
        if importance is None:
            trainable = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
            self.stored = {name: Stored(torch.ones((), device=each.device)) for name, each in trainable.items()}
        else:
            self.stored = importance.as_stored() if isinstance(importance, Importance) else _in_float32(importance)
            check_match("anchor", _shapes_of({n: each.values for n, each in self.stored.items()}), _shapes_of(tensors))
        if not self.stored:
            raise ValueError("the importance is empty, so the penalty would protect nothing.")
        self._device = importance.device if isinstance(importance, Importance) else None
        self._shapes = _shapes_of({name: tensors[name] for name in self.stored})
        self.strength = _checked_strength(strength)
        self.anchor = {name: tensors[name].detach().to(device=self._device, copy=True) for name in self.stored}

    @property
    def importance(self) -> dict[str, Tensor]:
        """F by name, in float32: the kept tensors themselves, or new ones where F is kept in half precision."""
        return {name: each.expand().expand(self._shapes[name]) for name, each in self.stored.items()}

    def value(self, model: nn.Module) -> Tensor:
        """The penalty as a differentiable float32 scalar, for reading and for tests.

        Raises:
            ValueError: The model lacks a parameter of the importance, or its shape differs.
        """
        terms = []
        for name, parameter in self._matched(model).items():
            distance = parameter.to(torch.float32) - self.anchor[name].to(parameter.device, torch.float32)
            terms.append((self.stored[name].expand(parameter.device) * distance.square()).sum())
        device = terms[0].device
        return self.strength / 2 * torch.stack([term.to(device) for term in terms]).sum()

    @torch.no_grad()
    def add_gradient_(self, model: nn.Module, scale: float = 1.0) -> None:
        """Add the penalty's gradient, ``scale * strength * F * (theta - anchor)``, to each ``.grad`` in place.

        Call it once per optimizer step, after the last backward pass of the step. A frozen parameter is left alone;
        a trainable one without a gradient gets one.

        Args:
            model: The model in training, wrapped or not.
            scale: The gradient scaler's scale where gradients are still scaled (fp16), else 1.

        Raises:
            ValueError: The model lacks a parameter of the importance, its shape differs, it is sharded, or the gradient
                of weights in float16 becomes larger than float16 can hold.
        """
        factor = self.strength * scale
        trainable = {name: p for name, p in self._matched(model).items() if p.requires_grad}
        for parameter in trainable.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for pieces in _groups(self._pieces(trainable)):
            parameters, gradients, anchors, stored = map(list, zip(*pieces, strict=True))
            device = parameters[0].device
            weights = [weight.expand(device) for weight in stored]
            anchors = [anchor.to(device) for anchor in anchors]
            if _all_float32(parameters) and _all_float32(gradients) and _all_float32(anchors):
                _foreach_addcmul_(gradients, _foreach_sub(parameters, anchors), weights, value=factor)
                continue
            for parameter, gradient, anchor, weight in zip(parameters, gradients, anchors, weights, strict=True):
                distance = parameter.to(torch.float32) - anchor.to(torch.float32)
                gradient.add_(distance.mul_(weight).mul_(factor).to(gradient.dtype))
                if gradient.dtype == torch.float16:
                    _require_finite(gradient, self.strength)

    def require_fit(self, model: nn.Module) -> None:
        """Compare the importance with a model, before the first step rather than in it.

        Raises:
            ValueError: The model lacks a parameter of the importance, or its shape differs.
        """
        check_match("model", self._shapes, _shapes_of(named_parameters(model)))

    def pull(self, name: str, parameter: Tensor) -> tuple[Tensor, Tensor]:
        """``theta - anchor`` and ``F * (theta - anchor)`` of one parameter: new float32 tensors beside it."""
        distance = parameter.detach().to(torch.float32) - self.anchor[name].to(parameter.device, torch.float32)
        return distance, self.stored[name].expand(parameter.device) * distance

    def state_dict(self) -> dict[str, Any]:
        """Importance and anchor as they are stored: tensors, numbers and dictionaries of them."""
        return {
            "importance": {name: each.values for name, each in self.stored.items()},
            "exponents": {name: each.exponent for name, each in self.stored.items()},
            "anchor": dict(self.anchor),
            "device": None if self._device is None else str(self._device),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], strength: float) -> Self:
        """The penalty that gave ``state``, with a strength of its own."""
        found = cls.__new__(cls)
        found.strength = _checked_strength(strength)
        found._device = None if state["device"] is None else torch.device(state["device"])
        found.stored = {
            name: Stored(tensor, state["exponents"][name]).to(device=found._device)
            for name, tensor in state["importance"].items()
        }
        found._shapes = _shapes_of(state["anchor"])
        found.anchor = {name: tensor.to(device=found._device) for name, tensor in state["anchor"].items()}
        return found

    def _pieces(self, parameters: Mapping[str, nn.Parameter]) -> Iterator[Piece]:
        """Parameter, gradient, anchor and importance, large ones in slices that share their memory."""
        for name, parameter in parameters.items():
            tensors = (parameter.detach(), cast("Tensor", parameter.grad), self.anchor[name])
            weight = self.stored[name]
            if parameter.numel() > ENTRIES and all(each.is_contiguous() for each in (*tensors, weight.values)):
                slices = (tensor.view(-1).split(ENTRIES) for tensor in tensors)
                weights = itertools.repeat(weight) if weight.values.dim() == 0 else weight.split(ENTRIES)
                yield from zip(*slices, weights, strict=False)  # one weight for the whole has no end
            else:
                yield *tensors, weight

    def _matched(self, model: nn.Module) -> dict[str, nn.Parameter]:
        parameters = named_parameters(model)
        check_match("model", self._shapes, _shapes_of(parameters))
        for name in self.stored if self._device is None else ():
            device = parameters[name].device
            if self.anchor[name].device != device or self.stored[name].values.device != device:
                self.anchor[name] = self.anchor[name].to(device)
                self.stored[name] = self.stored[name].to(device=device)
        return {name: parameters[name] for name in self.stored}


def _shapes_of(tensors: Mapping[str, Any]) -> dict[str, torch.Size]:
    """Name to shape; what else a state dict may have is passed over."""
    return {name: each.shape for name, each in tensors.items() if isinstance(each, Tensor)}


def _in_float32(importance: Mapping[str, Tensor]) -> dict[str, Stored]:
    refuse_sharded(importance)
    return {name: Stored(weight.detach().to(torch.float32)) for name, weight in importance.items()}


def _checked_strength(strength: float) -> float:
    if isinstance(strength, bool) or not isinstance(strength, (int, float)):
        raise ValueError(f"strength must be a number, got {strength!r}.")
    if not math.isfinite(strength) or strength < 0:
        raise ValueError(f"strength must be finite and not negative, got {strength}.")
    return float(strength)


def _require_finite(gradient: Tensor, strength: float) -> None:
    if not bool(torch.isfinite(gradient).all()):
        raise ValueError(
            f"the gradient with a penalty of strength {strength:g} is beyond float16's largest number, 65504, and the "
            "step would make every weight NaN. Keep the weights in float32 (model.float(), with fp16=True or bf16=True "
            "for speed) or in bfloat16, or lower the strength."
        )


def _groups(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Pieces of one device, together at most ``ENTRIES`` entries or one piece."""
    group: list[Piece] = []
    room = 0
    for piece in pieces:
        if group and (room < piece[0].numel() or piece[0].device != group[0][0].device):
            yield group
            group = []
        if not group:
            room = ENTRIES
        group.append(piece)
        room -= piece[0].numel()
    if group:
        yield group


def _all_float32(tensors: list[Tensor]) -> bool:
    return all(tensor.dtype == torch.float32 for tensor in tensors)
