"""A frozen base in four bits, for adapters on it (QLoRA; Dettmers et al., 2023), by bitsandbytes."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from cfhelpers.fisher.packed import pass_gradients
from cfhelpers.models.loading import LoadedModel


def in_four_bits(loaded: LoadedModel) -> LoadedModel:
    """Return a copy of a causal language model whose linear layers, but for the head, have 4-bit weights (NF4).

    The weights can no longer train: put adapters beside them (``methods.LoRA``). They are unpacked for every product,
    in float32.

    Args:
        loaded: From ``load_model``; left as it is.

    Raises:
        ImportError: The library bitsandbytes is not installed.
        ValueError: The model is an encoder.
    """
    if hasattr(loaded.model, "heads"):
        raise ValueError(f"Only a causal language model is read in 4 bits here, and {loaded.role!r} is an encoder.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ImportError(
            "A base in 4 bits (QLoRA) needs bitsandbytes, a library that is not installed: pip install bitsandbytes. "
            "Or keep the base as it is: an adapter learns the same way, and only the frozen weights take more room."
        )
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    with tempfile.TemporaryDirectory(prefix="cfhelpers-") as folder:
        loaded.model.save_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, quantization_config=settings, dtype=torch.float32, device_map={"": loaded.model.device}
        )
    pass_gradients(model)
    model.loss_type = getattr(loaded.model, "loss_type", None)
    return replace(loaded, model=model.eval(), source=f"{loaded.source}, in 4 bits")


def weight_bytes(model: nn.Module) -> int:
    """Return the size of a model's weights, tied ones once, with the scales of those in 4 bits."""
    found = 0
    for parameter in model.parameters():
        found += parameter.numel() * parameter.element_size()
        state: Any = getattr(parameter, "quant_state", None)
        if state is not None:
            scales = [state.absmax, state.code, *([state.state2.absmax, state.state2.code] if state.nested else [])]
            found += sum(each.numel() * each.element_size() for each in scales)
    return found
