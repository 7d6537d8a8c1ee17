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
