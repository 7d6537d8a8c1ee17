"""LayerNorm and RMSNorm: y = x̂ w + b, where x̂ is the normalised input."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812, the name everybody reads
from torch import Tensor, nn

from cfhelpers.fisher.contributions import Contribution, Vector


def covers(module: nn.Module) -> tuple[str, ...]:
    """The scale (and shift) over the last dimension.

    RMSNorm is known by its class name, because every architecture brings its own (Llama's, T5's LayerNorm, …); whether
    it computes what its name says is settled by the self-check.
    """
    if isinstance(module, nn.LayerNorm):
        own = type(module).forward is nn.LayerNorm.forward and len(module.normalized_shape) == 1
        return ("weight", "bias") if own else ()
    return ("weight",) if _is_rms(module) else ()


def contributions(module: nn.Module, inputs: Tensor, gradient: Tensor) -> dict[str, Contribution]:
    """Per-example gradients from inputs and output gradients, both ``[B, T, D]``."""
    wide = torch.promote_types(inputs.dtype, torch.float32)
    inputs = inputs.to(wide)
    if isinstance(module, nn.LayerNorm):
        normalised = F.layer_norm(inputs, module.normalized_shape, eps=module.eps)
    else:
        normalised = F.rms_norm(inputs, inputs.shape[-1:], eps=_epsilon(module))
    found: dict[str, Contribution] = {}
    if module.weight is not None:
        found["weight"] = Vector(normalised.mul_(gradient).sum(1))
    if getattr(module, "bias", None) is not None:
        found["bias"] = Vector(gradient.sum(1))
    return found


def _is_rms(module: nn.Module) -> bool:
    named_so = type(module).__name__.endswith(("RMSNorm", "RmsNorm")) or type(module).__name__ == "T5LayerNorm"
    weight = module._parameters.get("weight")
    return named_so and set(module._parameters) == {"weight"} and weight is not None and weight.dim() == 1


def _epsilon(module: nn.Module) -> float | None:
    for name in ("variance_epsilon", "eps"):
        if hasattr(module, name):
            return getattr(module, name)
    return None
