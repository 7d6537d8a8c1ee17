"""Low-rank adapters of peft in a model: put in, switched, measured, merged exactly.

A linear layer with weight W computes x Wᵀ; with an adapter of rank r it computes x (W + (α/r) B A)ᵀ, A of shape
[r, inputs] and B of shape [outputs, r] (Hu et al., 2022, eq. 3). GPT-2 keeps its weights the other way round (Conv1D,
x W), and so is the update then transposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

Targets = Literal["attention", "mlp", "all"]


def target_names(model: nn.Module, targets: Targets) -> list[str]:
    """Return the full names of a transformer's linear layers that take an adapter, in order.

    They are the ones inside the numbered blocks; embeddings and heads, whose weights may be tied, never are.

    Args:
        model: GPT-2, Llama, RoBERTa or BERT, alone or in a classifier, with or without adapters in it.
        targets: "attention", "mlp", or "all" for both.

    Raises:
        ValueError: Other targets, or the model has no such layers.
    """
    if targets not in ("attention", "mlp", "all"):
        raise ValueError(f"targets must be 'attention', 'mlp' or 'all', got {targets!r}.")
    found = []
    for name, module in model.named_modules():
        name = name.removesuffix(".base_layer")
        parts = name.split(".")
        if not _is_linear(module) or "lora_A" in parts or "lora_B" in parts or parts[0] == "heads":
            continue
        kind = "attention" if any(part.startswith(("attn", "attention", "self_attn")) for part in parts) else "mlp"
        if any(part.isdigit() for part in parts) and targets in ("all", kind):
            found.append(name)
    if not found:
        raise ValueError(f"{type(model).__name__} has no linear layers of {targets!r} in numbered blocks to adapt.")
    return found


def _is_linear(module: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, nn.Linear | Conv1D)


def add_adapter(model: nn.Module, name: str, *, rank: int, alpha: float, layers: Sequence[str]) -> None:
    """Put one more adapter into a model, in place, and make it the active one.

    Its update is zero at first (B = 0). Which parameters train is the caller's business.

    Args:
        model: As for ``target_names``.
        name: Of the adapter; without a dot.
        rank: r.
        alpha: α; the update is multiplied by α/r.
        layers: Their full names, as ``target_names`` gives them.

    Raises:
        ValueError: There is an adapter of this name already, or it has a dot.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    if name in adapter_names(model) or "." in name:
        raise ValueError(f"An adapter needs a new name without a dot, got {name!r}; there are {adapter_names(model)}.")
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # pyright: ignore[reportArgumentType]  # any number will do
        target_modules=list(layers),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    # peft notes its settings on the model and warns when a second adapter comes; here that is meant.
    model.__dict__.pop("peft_config", None)
    inject_adapter_in_model(config, model, name)
    model.__dict__.pop("peft_config", None)


def adapted_layers(model: nn.Module) -> dict[str, LoraLayer]:
    """Return the layers with adapters by name, whoever put them in.

    Raises:
        ValueError: There are adapters whose update is not a plain product: DoRA, or LoRA on an embedding or head
            whose weight is tied to another layer's, where merging would add the update twice.
    """
    from peft.tuners.lora import LoraLayer

    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        weight = module._parameters.get("weight")
        if weight is not None:
            owners.setdefault(id(weight), []).append(name.removesuffix(".base_layer"))
    for name, layer in layers.items():
        if any(layer.use_dora.values()):
            raise ValueError(f"{name} has a DoRA adapter, whose update depends on the weight it is added to.")
        base: Any = layer.get_base_layer()
        if len(set(owners[id(base.weight)])) > 1:
            raise ValueError(
                f"{name} has an adapter, but its weight is tied to that of another layer ({owners[id(base.weight)]}): "
                "a merge would change both. Leave tied layers (embeddings, heads) out of target_modules."
            )
    return layers


def adapter_names(model: nn.Module) -> list[str]:
    """Return the names of a model's adapters in the order in which they were put in."""
    names = [name for layer in adapted_layers(model).values() for name in layer.lora_A]
    return list(dict.fromkeys(names))


def adapter_parameters(model: nn.Module, name: str) -> dict[str, nn.Parameter]:
    """Return A and B of one adapter in every layer, by their names in the model.

    Raises:
        ValueError: There is no such adapter.
    """
    found = {
        each: parameter
        for each, parameter in model.named_parameters()
        if f".lora_A.{name}." in each or f".lora_B.{name}." in each
    }
    if not found:
        raise ValueError(f"There is no adapter {name!r}; there are {adapter_names(model)}.")
    return found


@contextmanager
def using_adapters(model: nn.Module, weights: dict[str, float]) -> Iterator[None]:
    """Let a model compute with the weighted sum of some adapters' updates, and put back what was active before.

    No weight is touched and no parameter becomes trainable or frozen. Without names, the base model computes.

    Args:
        model: With adapters in it.
        weights: By adapter; 1/K for each of K gives exactly the mean of their updates.
    """
    layers = list(adapted_layers(model).values())
    trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    before = [(layer, list(layer.active_adapters), dict(layer.scaling)) for layer in layers]
    try:
        for layer in layers:
            layer.set_adapter([name for name in weights if name in layer.lora_A])
            for name, weight in weights.items():
                if name in layer.lora_A:
                    layer.scaling[name] *= weight
        yield
    finally:
        for layer, active, scaling in before:
            layer.set_adapter(active)
            layer.scaling.update(scaling)
        for parameter, requires_grad in trainable:
            parameter.requires_grad_(requires_grad)


@torch.no_grad()
def updates(model: nn.Module, name: str) -> dict[str, Tensor]:
    """Return one adapter's change ΔW = (α/r) B A of every adapted weight, in that weight's own shape.

    Args:
        model: With adapters in it, ours or a ``PeftModel``.
        name: Of the adapter.

    Raises:
        ValueError: There is no such adapter, or one that is not plain LoRA; see ``adapted_layers``.
    """
    if name not in adapter_names(model):
        raise ValueError(f"There is no adapter {name!r}; there are {adapter_names(model)}.")
    layers: dict[str, Any] = {key: layer for key, layer in adapted_layers(model).items() if name in layer.lora_A}
    return {key: layer.get_delta_weight(name) for key, layer in layers.items()}


def mean_update(model: nn.Module, names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Return the mean over adapters of their updates, by layer: what a fair merge adds to the weights.

    It is the mean of the products B A, not the product of the means; see chapter 5 for what else is called a merge.

    Args:
        model: With adapters in it, ours or a ``PeftModel``.
        names: Of the adapters; None takes all.

    Raises:
        ValueError: There is no such adapter, none at all, one named twice, one that is not plain LoRA (see
            ``adapted_layers``), or several of which one changed the base weights when it was made (PiSSA, OLoRA).
    """
    names = adapter_names(model) if names is None else list(names)
    if not names:
        raise ValueError("There is no adapter to merge.")
    if len(set(names)) < len(names):
        raise ValueError(f"An adapter is named twice: {names}.")
    _refuse_changed_bases(model, names)
    each = [updates(model, name) for name in names]
    layers = dict.fromkeys(layer for one in each for layer in one)
    return {
        layer: torch.stack([one[layer] for one in each if layer in one]).sum(dim=0) / len(names) for layer in layers
    }


def _refuse_changed_bases(model: nn.Module, names: Sequence[str]) -> None:
    """Refuse several adapters of which one moved part of the base weights into itself when it was made."""
    configurations: Any = getattr(model, "peft_config", {})  # peft's note of its settings
    for name in names:
        start = str(getattr(configurations.get(name), "init_lora_weights", True))
        if len(names) > 1 and start.lower().startswith(("pissa", "olora", "corda", "loftq")):
            raise ValueError(
                f"Adapter {name!r} was made with init_lora_weights={start!r}, which changes the base weights under all "
                "adapters: each then has another base, and no mean of their updates fits. Use the default."
            )


@torch.no_grad()
def merge_adapters(model: nn.Module, names: Sequence[str] | None = None) -> nn.Module:
    """Add the mean of the adapters' updates to the weights and take all adapters out, in place.

    Args:
        model: As for ``mean_update``; of a ``PeftModel`` pass ``get_base_model()``.
        names: Of the adapters that are merged; None takes all.

    Returns:
        The same model, plain again: what peft put in is gone.

    Raises:
        ValueError: As for ``mean_update``, something is merged into the weights already, or they are quantised.
    """
    layers = adapted_layers(model)
    if any(layer.merged for layer in layers.values()):
        raise ValueError("An adapter is merged into the weights already: call unmerge_adapter() first.")
    for name, layer in layers.items():
        base: Any = layer.get_base_layer()
        if not base.weight.is_floating_point():
            raise ValueError(
                f"{name} has packed weights ({base.weight.dtype}), to which nothing can be added: merge into a copy of "
                "the model that was not quantised, or answer with the adapters in place (using_adapters)."
            )
    for name, change in mean_update(model, names).items():
        base = layers[name].get_base_layer()
        base.weight += change.to(base.weight.dtype)
    for name, layer in layers.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer.get_base_layer())
    return model
