"""Linear layers and GPT-2's Conv1D: y = x Wᵀ + b and y = x W + b."""

from __future__ import annotations

from torch import Tensor, nn

from cfhelpers.fisher.contributions import Contribution, Outer, Vector


def covers(module: nn.Module) -> tuple[str, ...]:
    """The parameters of a linear layer; a subclass with its own ``forward`` is not taken for one."""
    return ("weight", "bias") if _is_linear(module) or _is_conv1d(module) else ()


def contributions(module: nn.Module, inputs: Tensor, gradient: Tensor) -> dict[str, Contribution]:
    """Per-example gradients from inputs ``[B, T, in]`` and output gradients ``[B, T, out]``."""
    weight = Outer(gradient, inputs) if _is_linear(module) else Outer(inputs, gradient)
    return {"weight": weight, "bias": Vector(gradient.sum(1))} if module.bias is not None else {"weight": weight}


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward


def _is_conv1d(module: nn.Module) -> bool:
    return type(module).__module__ == "transformers.pytorch_utils" and type(module).__name__ == "Conv1D"
