"""Leaving the model, and the random state, as they were found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from torch import nn

from cfhelpers.fisher.activations import fused_activations
from cfhelpers.fisher.packed import pass_gradients


@contextmanager
def estimating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients in ``.grad``, no gradient checkpointing; everything restored in the end.

    Restored, also after an exception: each module's mode, each parameter's ``.grad`` (the same tensor) and
    ``requires_grad``, gradient checkpointing flags, and the random states of torch (CPU and CUDA), NumPy and Python.
    An autocast that ``accelerate`` left on the model (``bf16=True``) is out of the way meanwhile: it would round what
    the weights' own precision does not.
    """
    pass_gradients(model)
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.grad, p.requires_grad) for p in model.parameters()]
    checkpointing = [m for m in model.modules() if getattr(m, "gradient_checkpointing", False) is True]
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        with (
            torch.random.fork_rng(),
            torch.enable_grad(),
            _uncompiled(model),
            fused_activations(model),
            _without_autocast(model),
        ):
            for parameter, _, _ in parameters:
                parameter.grad = None
            for module in checkpointing:
                module.gradient_checkpointing = False  # type: ignore[assignment]
            model.eval()
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        for module in checkpointing:
            module.gradient_checkpointing = True  # type: ignore[assignment]
        for module, mode in modes:
            module.training = mode
        for parameter, gradient, requires_grad in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient


def _uncompiled(model: nn.Module) -> AbstractContextManager[object]:
    """Run compiled parts as plain Python, where hooks fire."""
    compiled = any(getattr(module, "_compiled_call_impl", None) is not None for module in model.modules())
    compiled = compiled or any("_orig_mod" in module._modules for module in model.modules())
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


@contextmanager
def _without_autocast(model: nn.Module) -> Iterator[None]:
    """Run the ``forward`` that ``accelerate`` keeps as ``_original_forward`` beside its own."""
    wrapped = [
        module for module in model.modules() if "_original_forward" in vars(module) and "forward" in vars(module)
    ]
    kept = [vars(module)["forward"] for module in wrapped]
    for module in wrapped:
        del module.forward
        original = vars(module)["_original_forward"]
        if getattr(original, "__func__", None) is not type(module).forward:
            module.forward = original
    try:
        yield
    finally:
        for module, forward in zip(wrapped, kept, strict=True):
            module.forward = forward
