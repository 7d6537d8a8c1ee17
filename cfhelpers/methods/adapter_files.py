"""Adapters in a file of their own: all that was learned, without the model it was learned on."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cfhelpers.methods.adapters import adapted_layers, adapter_names, adapter_parameters, add_adapter


def save_adapters(model: nn.Module, path: str | Path) -> None:
    """Write all adapters of a model, and of a classifier its heads, to one safetensors file.

    Args:
        model: As a method with adapters leaves it.
        path: Of the file.

    Raises:
        ValueError: The model has no adapters.
    """
    names = adapter_names(model)
    if not names:
        raise ValueError("The model has no adapters to save.")
    tensors = {key: value for name in names for key, value in adapter_parameters(model, name).items()}
    layers = adapted_layers(model)
    settings = {}
    for name in names:
        own = {key: layer for key, layer in layers.items() if name in layer.lora_A}
        first = next(iter(own.values()))
        active = name in first.active_adapters
        settings[name] = {"rank": first.r[name], "alpha": first.lora_alpha[name], "layers": [*own], "active": active}
    heads = {}
    for name, head in getattr(model, "heads", nn.ModuleDict()).items():
        heads[name] = head.num_labels
        tensors |= {f"heads.{name}.{key}": value for key, value in head.named_parameters()}
    save_file(
        {key: value.detach().contiguous() for key, value in tensors.items()},
        path,
        metadata={"adapters": json.dumps(settings), "heads": json.dumps(heads)},
    )


def load_adapters(model: nn.Module, path: str | Path) -> nn.Module:
    """Put saved adapters and heads into an untouched model of the same kind, in place.

    Args:
        model: Without adapters, and without heads of the saved names.
        path: What ``save_adapters`` wrote.

    Returns:
        The model, with nothing trainable.

    Raises:
        ValueError: The file is not of ``save_adapters``, or its tensors do not fit the model.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
    if "adapters" not in metadata:
        raise ValueError(f"{path} was not written by save_adapters.")
    for name, classes in json.loads(metadata["heads"]).items():
        model.add_head(name, classes)  # pyright: ignore[reportCallIssue]  # MultiTaskClassifier's
    settings = json.loads(metadata["adapters"])
    for name, each in settings.items():
        add_adapter(model, name, rank=each["rank"], alpha=each["alpha"], layers=each["layers"])
    parameters = dict(model.named_parameters())
    wrong = [key for key, value in tensors.items() if key not in parameters or parameters[key].shape != value.shape]
    if wrong:
        raise ValueError(f"{path} is of another model: {wrong[0]} does not fit.")
    with torch.no_grad():
        for key, value in tensors.items():
            parameters[key].copy_(value)
    for layer in adapted_layers(model).values():
        layer.set_adapter([name for name, each in settings.items() if each["active"] and name in layer.lora_A])
    return model.requires_grad_(False)
