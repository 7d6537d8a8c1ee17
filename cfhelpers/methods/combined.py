"""Several methods at once: a penalty on the weights, replay in the data, distillation in the loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from cfhelpers.methods.base import Method
from cfhelpers.methods.lwf import LwF
from cfhelpers.tasks.encoding import Batch, EncodedTask

if TYPE_CHECKING:
    from datasets import Dataset

# What only one method at a time can decide; the others must leave it as it is.
_EXCLUSIVE = {
    "training_data": "decide what is trained on",
    "mix": "decide what is trained on",
    "training_steps": "choose the number of steps",
    "prediction_model": "choose the model that answers",
    "prepare_model": "choose the model that trains",
    "diagnostics": "pull on the weights with a λ of their own",
}


class Combined(Method):
    """Call every hook of several methods, in the order given; their extra losses and gradients add up.

    ``Combined([EWC(300.0), Replay(16), LwF(0.5)])``. LwF beside a replay distils on the replayed examples too.

    Args:
        methods: Fresh methods, at least two, of different names.

    Raises:
        TypeError: Something in the list is not a method.
        ValueError: The methods cannot be combined: fewer than two, two of one name, one that restarts from the base
            model or trains other weights than the model's own, or two that decide the same thing.
    """

    name = "combined"

    def __init__(self, methods: Sequence[Method]) -> None:
        for each in methods:
            if not isinstance(each, Method):
                raise TypeError(f"Combined takes methods such as cf.methods.LwF(1.0), not {type(each).__name__}.")
        _check_combinable(methods)
        self.methods = list(methods)
        # One that watches the first task's training has to watch it here, too.
        self.own_first_task = any(each.own_first_task for each in methods)

    def prepare_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Let each method prepare the model."""
        for each in self.methods:
            model = each.prepare_model(model, task)
        return model

    def require_ready(self, model: nn.Module) -> None:
        """Ask each method whether it has what it needs for a trainer of one's own.

        Raises:
            ValueError: One of them would do nothing there.
        """
        for each in self.methods:
            each.require_ready(model)

    def training_data(self, task: EncodedTask, seen: Sequence[EncodedTask]) -> Dataset:
        """Return the data of the one method that chooses them, and let the others look at them."""
        data = task.train
        for each in self.methods:
            given = each.training_data(task, seen)
            data = given if given is not task.train else data
        return data

    def mix(self, dataset: Any) -> Any:
        """Return a trainer's data as the one method that mixes them wants them."""
        for each in self.methods:
            dataset = each.mix(dataset)
        return dataset

    def training_steps(self, steps: int, seen: Sequence[EncodedTask]) -> int:
        """Return the steps that the one method that changes them asks for."""
        for each in self.methods:
            steps = each.training_steps(steps, seen)
        return steps

    def protect(self, model: nn.Module, batches: Iterable[Batch] = ()) -> Self:
        """Let every method that can be given a trained model protect it."""
        for each in self.methods:
            if hasattr(each, "protect"):
                each.protect(model, batches)  # pyright: ignore[reportAttributeAccessIssue]  # just looked
        return self

    def extra_loss(self, model: nn.Module, inputs: Batch, outputs: Any, num_items: Tensor) -> Tensor | None:
        """Return the sum of the methods' extra losses, or None if none has one."""
        found = [each.extra_loss(model, inputs, outputs, num_items) for each in self.methods]
        given = [loss for loss in found if loss is not None]
        return torch.stack(given).sum() if given else None

    def after_backward(self, model: nn.Module, scale: float) -> None:
        """Let each method change the gradients."""
        for each in self.methods:
            each.after_backward(model, scale)

    def after_step(self, model: nn.Module) -> None:
        """Let each method look at the weights."""
        for each in self.methods:
            each.after_step(model)

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Let each method remember what it needs."""
        for each in self.methods:
            each.after_task(model, task)

    def prediction_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Return the model of the one method that chooses it."""
        for each in self.methods:
            model = each.prediction_model(model, task)
        return model

    def diagnostics(self, model: nn.Module) -> dict[str, float]:
        """Return the numbers of all methods."""
        return {name: value for each in self.methods for name, value in each.diagnostics(model).items()}

    def settings(self) -> dict[str, Any]:
        """Return each method's name and settings."""
        return {"methods": [{"name": each.name, **each.settings()} for each in self.methods]}

    def stored_bytes(self) -> int:
        """Return what all methods keep together."""
        return sum(each.stored_bytes() for each in self.methods)

    def state_dict(self) -> dict[str, Any]:
        """Return each method's state by its name."""
        return {each.name: each.state_dict() for each in self.methods}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give each method its state back.

        Raises:
            ValueError: The state is of another combination.
        """
        names = [each.name for each in self.methods]
        if sorted(state) != sorted(names):
            raise ValueError(f"This state is of {', '.join(sorted(state))}, not of {', '.join(sorted(names))}.")
        for each in self.methods:
            each.load_state_dict(state[each.name])


def _check_combinable(methods: Sequence[Method]) -> None:
    names = [each.name for each in methods]
    if len(methods) < 2:
        raise ValueError(f"Combined needs at least two methods, got {len(methods)}.")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"Combined takes one method of each kind, but got {twice[0]!r} twice.")
    for each in methods:
        if isinstance(each, Combined):
            raise ValueError("Combined cannot hold another Combined: give all methods in one list.")
        if each.restarts_from_base:
            raise ValueError(f"{each.name!r} restarts from the base model: there is nothing old to protect beside it.")
        if each.learning_rate is not None:
            raise ValueError(f"{each.name!r} trains weights of its own at a rate of its own: it cannot be combined.")
    for hook, what in _EXCLUSIVE.items():
        deciding = [each.name for each in methods if _decides(each, hook)]
        if len(deciding) > 1:
            raise ValueError(f"{deciding[0]!r} and {deciding[1]!r} both {what}: they cannot be combined.")


def _decides(method: Method, hook: str) -> bool:
    """Tell whether a method overrides a hook."""
    # LwF only looks at the training data, but outputs that it keeps are of the new task's alone.
    if hook == "training_data" and isinstance(method, LwF):
        return method.top_k is not None
    return getattr(type(method), hook) is not getattr(Method, hook)
