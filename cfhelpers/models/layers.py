"""Where a transformer keeps its layers, whatever it calls them."""

from __future__ import annotations

from torch import nn

from cfhelpers.models.classifier import MultiTaskClassifier


def layers_of(model: nn.Module) -> nn.ModuleList:
    """Return the stack of equal layers of a classifier's encoder or a causal language model, bottom first.

    Raises:
        ValueError: The model has no list of equal modules.
    """
    body = model.body if isinstance(model, MultiTaskClassifier) else model
    stacks = [
        module
        for module in body.modules()
        if isinstance(module, nn.ModuleList) and len(module) > 0 and len({type(layer) for layer in module}) == 1
    ]
    if not stacks:
        raise ValueError(f"{type(body).__name__} has no stack of equal layers.")
    return max(stacks, key=lambda stack: sum(parameter.numel() for parameter in stack.parameters()))


def embeddings_of(model: nn.Module) -> list[nn.Module]:
    """Return what comes before the layers: every table of embeddings, and an encoder's whole embedding module."""
    body = model.body if isinstance(model, MultiTaskClassifier) else model
    inside = set(layers_of(model).modules())
    whole = getattr(body, "embeddings", None)
    tables = [module for module in body.modules() if isinstance(module, nn.Embedding) and module not in inside]
    return [*tables, *([whole] if isinstance(whole, nn.Module) else [])]
