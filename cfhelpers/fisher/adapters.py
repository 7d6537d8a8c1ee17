"""Adapters that do not answer: what is measured of them is zero, and protects nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from torch import nn

from cfhelpers.fisher.matching import shown


def refuse_idle_adapters(model: nn.Module, unreached: Collection[str]) -> None:
    """Refuse trainable adapter weights that no example reached because their adapter is not in use.

    Args:
        model: Perhaps with adapters of peft, told by their attributes (peft itself is not needed).
        unreached: Names of trainable parameters on which no output depends.

    Raises:
        ValueError: Some belong to an adapter that is not active, or is disabled or merged.
    """
    idle: dict[str, list[str]] = {}
    for start, adapter, reason in idle_adapters(model):
        found = [name for name in unreached if name == start or name.startswith(f"{start}.")]
        idle.setdefault(f"adapter {adapter!r} is trainable but not in use ({reason})", []).extend(found)
    for what, names in idle.items():
        if names:
            raise ValueError(
                f"{what}, so nothing that the model says depends on {shown(names)}, and a penalty would protect "
                "nothing. Choose the adapter that is trained with model.set_adapter(…), or freeze the idle one."
            )


def idle_adapters(model: nn.Module) -> Iterator[tuple[str, str, str]]:
    """Yield what the parameters of an adapter that is not in use begin with, the adapter's name, and the reason."""
    for path, module in model.named_modules():
        if not hasattr(module, "active_adapters") or not hasattr(module, "adapter_layer_names"):
            continue
        layer: Any = module
        disabled, merged = getattr(layer, "disable_adapters", False), getattr(layer, "merged", False)
        if disabled:
            reason = "adapters are disabled"
        elif merged:
            reason = "adapters are merged into the weights"
        else:
            reason = f"active: {', '.join(layer.active_adapters) or 'none'}"
        for attribute in layer.adapter_layer_names:
            for adapter in getattr(layer, attribute, None) or ():
                if adapter not in layer.active_adapters or disabled or merged:
                    yield ".".join(part for part in (path, attribute, adapter) if part), adapter, reason
