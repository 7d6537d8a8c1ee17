"""Hold the directions that the weights use most and train the rest (OSF; Nayak et al., 2025), on peft."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cfhelpers.methods.adapters import Targets, target_names
from cfhelpers.methods.base import Method
from cfhelpers.tasks.encoding import EncodedTask

if TYPE_CHECKING:
    from peft.tuners.osf.layer import OSFLayer

ADAPTER = "osf"


class OrthogonalSubspace(Method):
    """Decompose each weight anew for every task, hold its largest singular directions, and train the others.

    W = U S Vᵀ: the ``preserved`` share of the singular values, the largest, stays with its directions; the rest of U, S
    and V trains, and the gradients of U and V are made orthogonal to what is held (Nayak et al., 2025, "Sculpting
    subspaces", arXiv 2504.07097; peft's ``OSFConfig``). Nothing is kept between tasks: the weights themselves say what
    mattered. The share is the same for every weight and task; in the paper it hangs on the layer.

    peft makes the *gradient* orthogonal. AdamW then scales every entry by itself, so that a step is orthogonal no more:
    see ``share_in_held_directions``.

    Args:
        preserved: Share of the singular values that is held, from 0 to below 1. With 0 nothing is held and nothing
            decomposed: the weights of the linear layers train whole, and all else stays as frozen as with any share,
            which is what the share has to be compared with.
        targets: "attention", "mlp" or "all" linear layers.
        learning_rate: Of what trains; None takes the plan's.

    Raises:
        ValueError: A share that is not from 0 to below 1, unknown targets, or a rate that is not positive.
    """

    name = "orthogonal_subspace"
    own_first_task = True

    def __init__(self, preserved: float = 0.5, *, targets: Targets = "all", learning_rate: float | None = None) -> None:
        if not 0 <= preserved < 1:
            raise ValueError(f"preserved must lie between 0 and 1, or be 0, got {preserved}.")
        if targets not in ("attention", "mlp", "all"):
            raise ValueError(f"targets must be 'attention', 'mlp' or 'all', got {targets!r}.")
        if learning_rate is not None and not learning_rate > 0:
            raise ValueError(f"learning_rate must be positive or None, got {learning_rate}.")
        self.preserved, self.learning_rate = preserved, learning_rate
        self.targets: Targets = targets

    def prepare_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Add what the last task learned to the weights and decompose them anew; only the free part and a head train.

        Raises:
            ValueError: The model keeps weights in layers that peft's OSF passes over without a word, such as GPT-2's
                ``Conv1D``.
        """
        model = super().prepare_model(model, task)
        settle(model)
        layers = target_names(model, self.targets)
        if self.preserved:
            decompose(model, layers, self.preserved)
        whole = set() if self.preserved else {f"{name}.weight" for name in layers}
        for name, parameter in model.named_parameters():
            learns = ".osf_svd_params." in name or name in whole or name.startswith(f"heads.{task.name}.")
            parameter.requires_grad_(learns)
        return model

    def settings(self) -> dict[str, Any]:
        """Return the share preserved, targets and learning rate."""
        return {"preserved": self.preserved, "targets": self.targets, "learning_rate": self.learning_rate}


def decompose(model: nn.Module, layers: list[str], preserved: float) -> None:
    """Put peft's OSF layers in the place of linear ones, in place; what the model computes does not change.

    Args:
        model: Without such layers.
        layers: Their full names, as ``target_names`` gives them.
        preserved: Share of the singular values that is held.

    Raises:
        ValueError: One of the layers is not an ``nn.Linear``, which peft would leave as it is, untrained.
    """
    from peft import OSFConfig, inject_adapter_in_model

    others = {type(each).__name__ for each in map(model.get_submodule, layers) if type(each) is not nn.Linear}
    if others:
        raise ValueError(
            f"peft's OSF decomposes nn.Linear layers only, and {type(model).__name__} has {', '.join(sorted(others))}: "
            "peft would leave them untrained without a word. Take LoRA or OrthogonalLoRA, or a model of Linear layers."
        )
    inject_adapter_in_model(OSFConfig(effective_rank=preserved, target_modules=layers), model, ADAPTER)
    model.__dict__.pop("peft_config", None)  # peft's note of its settings: the next task has them anew


def osf_layers(model: nn.Module) -> dict[str, OSFLayer]:
    """Return the decomposed layers by name."""
    from peft.tuners.osf.layer import OSFLayer

    return {name: module for name, module in model.named_modules() if isinstance(module, OSFLayer)}


def settle(model: nn.Module) -> None:
    """Add what was learned to the weights, and put plain layers back, in place."""
    layers: dict[str, Any] = osf_layers(model)
    for name, layer in layers.items():
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer.get_base_layer())


@torch.no_grad()
def share_in_held_directions(model: nn.Module) -> float:
    """Return how much of what was learned since ``decompose`` lies where nothing should have moved.

    1 − ∑ ‖(I − Pᵤ) ΔW (I − Pᵥ)‖² / ∑ ‖ΔW‖² over the layers, Pᵤ and Pᵥ the projections on the held directions of the
    outputs and inputs: 0 if the constraint holds, NaN if nothing was learned.

    Args:
        model: With decomposed layers.
    """
    free = whole = 0.0
    layers: dict[str, Any] = osf_layers(model)
    for layer in layers.values():
        change = layer.get_delta_weight(ADAPTER)
        left = _free(layer._osf_U_low_init, layer._osf_U_high, lambda directions: directions)
        right = _free(layer._osf_V_low_init, layer._osf_V_high, lambda directions: directions.T)
        free += float((left @ change @ right).square().sum())
        whole += float(change.square().sum())
    return 1 - free / whole if whole else math.nan


def _free(low: Mapping[str, Tensor], high: Mapping[str, Tensor], turned: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the projection on what is not held; peft keeps ``high`` only where ``low`` does not tell it."""
    if ADAPTER not in high:
        free = turned(low[ADAPTER])
        return free @ free.T
    held = turned(high[ADAPTER])
    return torch.eye(len(held), dtype=held.dtype, device=held.device) - held @ held.T
