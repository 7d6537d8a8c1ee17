"""The quadratic penalty that holds parameters near an anchor (Kirkpatrick et al., 2017)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, _foreach_addcmul_, _foreach_sub, nn  # pyright: ignore[reportPrivateImportUsage]

from cfhelpers.fisher.naming import canonical_name, named_parameters

# Entries worked on at a time: temporary memory then stays small enough to be used again instead of asked for anew.
ENTRIES = 1 << 20
Piece = tuple[Tensor, Tensor, Tensor, Tensor]


class QuadraticPenalty:
    """``strength / 2 * sum_i F_i (theta_i - anchor_i)²`` over all entries of the importance F.

    Args:
        importance: Parameter name to non-negative weight F, shaped like the parameter (an :class:`Importance`).
        anchor: The parameters to stay near: a model, or a mapping with at least the names of ``importance``. Detached
            and copied, so training the model later does not move it.
        strength: λ ≥ 0. It has no meaning without the scale of F: sweep it on a log grid.

    Raises:
        ValueError: ``importance`` is empty, the anchor lacks one of its names, a shape differs, or ``strength`` is
            negative or not finite.
    """

    def __init__(
        self, importance: Mapping[str, Tensor], anchor: nn.Module | Mapping[str, Tensor], strength: float
    ) -> None:
        if not importance:
            raise ValueError("the importance is empty, so the penalty would protect nothing.")
        tensors = named_parameters(anchor) if isinstance(anchor, nn.Module) else anchor
        _check_match("anchor", importance, tensors)
        self.strength = _checked_strength(strength)
        self.importance = {name: weight.detach().to(torch.float32) for name, weight in importance.items()}
        self.anchor = {name: tensors[name].detach().clone() for name in importance}

    def value(self, model: nn.Module) -> Tensor:
        """The penalty as a differentiable float32 scalar, for reading and for tests.

        Raises:
            ValueError: The model lacks a parameter of the importance, or its shape differs.
        """
        terms = []
        for name, parameter in self._matched(model).items():
            distance = parameter.to(torch.float32) - self.anchor[name].to(torch.float32)
            terms.append((self.importance[name] * distance.square()).sum())
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
            ValueError: The model lacks a parameter of the importance, or its shape differs.
        """
        factor = self.strength * scale
        trainable = {name: p for name, p in self._matched(model).items() if p.requires_grad}
        for parameter in trainable.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for pieces in _groups(self._pieces(trainable)):
            parameters, gradients, anchors, weights = map(list, zip(*pieces, strict=True))
            if _all_float32(parameters) and _all_float32(gradients) and _all_float32(anchors):
                _foreach_addcmul_(gradients, _foreach_sub(parameters, anchors), weights, value=factor)
                continue
            for parameter, gradient, anchor, weight in pieces:
                distance = parameter.to(torch.float32) - anchor.to(torch.float32)
                gradient.add_(distance.mul_(weight).mul_(factor).to(gradient.dtype))

    def _pieces(self, parameters: Mapping[str, nn.Parameter]) -> Iterator[Piece]:
        """Parameter, gradient, anchor and importance, large ones in slices that share their memory."""
        for name, parameter in parameters.items():
            tensors = (parameter.detach(), cast("Tensor", parameter.grad), self.anchor[name], self.importance[name])
            if parameter.numel() > ENTRIES and all(tensor.is_contiguous() for tensor in tensors):
                yield from zip(*(tensor.view(-1).split(ENTRIES) for tensor in tensors), strict=True)
            else:
                yield tensors

    def _matched(self, model: nn.Module) -> dict[str, nn.Parameter]:
        parameters = named_parameters(model)
        _check_match("model", self.importance, parameters)
        for name in self.importance:
            device = parameters[name].device
            if self.anchor[name].device != device or self.importance[name].device != device:
                self.anchor[name] = self.anchor[name].to(device)
                self.importance[name] = self.importance[name].to(device)
        return {name: parameters[name] for name in self.importance}


def _checked_strength(strength: float) -> float:
    if isinstance(strength, bool) or not isinstance(strength, (int, float)):
        raise ValueError(f"strength must be a number, got {strength!r}.")
    if not math.isfinite(strength) or strength < 0:
        raise ValueError(f"strength must be finite and not negative, got {strength}.")
    return float(strength)


def _check_match(owner: str, importance: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Raise for names of ``importance`` that ``tensors`` lacks and for shapes that differ."""
    missing = [name for name in importance if name not in tensors]
    if missing:
        raise ValueError(
            f"the {owner} has no parameter named {_shown(missing)}. {_cause(missing, importance, tensors)}"
        )
    different = [name for name in importance if importance[name].shape != tensors[name].shape]
    if different:
        name = different[0]
        pair = f"{tuple(importance[name].shape)} in the importance, {tuple(tensors[name].shape)} in the {owner}"
        raise ValueError(
            f"shapes differ for {_shown(different)} ({pair}). If the vocabulary was resized (a new pad token), "
            "estimate the importance again after resizing, or leave the embedding's size as it was."
        )


def _cause(missing: list[str], importance: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """The likeliest reason for missing names."""
    if any(canonical_name(name) in tensors for name in missing) or any(
        canonical_name(name) in importance for name in tensors if name not in importance
    ):
        return "A wrapper's prefix (module., _orig_mod.) is in the way: take names from the unwrapped model."
    if any(name.removeprefix("base_model.model.") in tensors for name in missing) or any(
        name.startswith("base_model.model.") for name in tensors
    ):
        return "One of the two models is wrapped by peft (base_model.model.): use the same wrapping for both."
    return "Was the importance estimated on another model, or was a tied weight untied?"


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


def _shown(names: list[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(repr(name) for name in names[:shown]) + more
