"""Copies of a model that really are copies: they answer with their own weights."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def copy_model(model: AnyModule) -> AnyModule:
    """Return a deep copy of a model that computes with the copy's weights, whatever was patched onto the original.

    trl's ``SFTTrainer`` and ``accelerate`` (under ``bf16`` and ``fp16``) put a ``forward`` of their own on the model
    *object*. Such a function may hold the original itself, and ``copy.deepcopy`` hands it on: the copy then answers
    with the original's weights, and moves as the original is trained. Here no ``forward`` that stands on an object is
    copied; the class's own one is used again.

    Args:
        model: Left as it is. Modes and ``requires_grad`` are copied, gradients are not.

    Returns:
        A model that shares no parameter with ``model``.

    Raises:
        ValueError: A weight is not there (on the meta device), because something fetches it at every forward.
    """
    absent = [name for name, tensor in model.named_parameters() if tensor.is_meta]
    if absent:
        raise ValueError(
            f"{absent[0]} is on the meta device: its values are fetched at every forward (device_map, offloading), so "
            "there is nothing to copy. Load the model onto one device first."
        )
    memo: dict[int, Any] = {
        id(vars(module)["forward"]): "not copied" for module in model.modules() if _is_patched(module)
    }
    twin = copy.deepcopy(model, memo)
    for module in twin.modules():
        vars(module).pop("forward", None)
    return twin


def frozen_copy(model: AnyModule) -> AnyModule:
    """Return a teacher: a copy as :func:`copy_model` makes it, in evaluation mode, that no training reaches."""
    return copy_model(model).eval().requires_grad_(False)


def _is_patched(module: nn.Module) -> bool:
    return "forward" in vars(module)
