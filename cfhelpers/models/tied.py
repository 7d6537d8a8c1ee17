"""State dicts of models with tied weights, for wrappers around a pretrained model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def drop_tied(module: nn.Module, state: dict[str, Tensor], prefix: str, local: Any) -> None:
    """Leave the second name of a tied weight out of a state dict: safetensors refuses it, loading needs one only."""
    seen: set[tuple[int, torch.Size]] = set()
    for name in list(state):
        if not name.startswith(prefix):
            continue
        identity = (state[name].data_ptr(), state[name].shape)
        if identity in seen:
            del state[name]
        seen.add(identity)


def fill_tied(module: nn.Module, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    """Give a tied weight its second name back before a state dict is loaded, so that nothing is missing."""
    first: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        kept = first.setdefault(id(parameter), name)
        if prefix + kept in state:
            state.setdefault(prefix + name, state[prefix + kept])
