"""Layers of bitsandbytes in four bits: gradients go through them, whatever was evaluated before."""

from __future__ import annotations

from typing import Any

from torch import nn


def pass_gradients(model: nn.Module) -> None:
    """Undo, and switch off for good, the weights' arrangement for inference that bitsandbytes makes on some CPUs.

    On a CPU with AVX512-BF16, version 0.50 rearranges a 4-bit layer's weights when it is first evaluated, for a kernel
    without a backward: from then on no gradient passes the layer, without a word, and adapters below it learn nothing.
    The scales, which that rounds to bfloat16, stay rounded; before the first evaluation nothing is lost.

    Args:
        model: With such layers or without.
    """
    layers: list[Any] = [each for each in model.modules() if getattr(each, "support_avx512bf16_for_cpu", False)]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
        if getattr(layer.weight.quant_state, "packing_format_for_cpu", False):
            from bitsandbytes.functional import (  # pyright: ignore[reportMissingImports]  # nobody else needs it
                _convert_weight_packed_for_cpu_inverse as unpack,
            )

            layer.weight.data, layer.weight.quant_state = unpack(layer.weight.data, layer.weight.quant_state)
            layer.quant_state = layer.weight.quant_state
