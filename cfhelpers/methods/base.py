"""What a continual-learning method may add to ordinary training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from cfhelpers.tasks.encoding import Batch, EncodedTask

if TYPE_CHECKING:
    from datasets import Dataset


class Method:
    """Plain training: every hook does what training without a method would do. Override what you need.

    One object serves one model through one sequence of tasks. The hooks are called in this order: ``prepare_model``,
    ``training_data``, ``training_steps``; then, for each optimizer step, ``extra_loss`` for every micro-batch,
    ``after_backward`` and ``after_step``; at the end ``after_task``.
    """

    name = "method"
    restarts_from_base = False
    """True for a method that begins every task from the untouched model."""
    own_first_task = False
    """True for a method whose first task cannot be learned plainly: it watches that training, or trains other weights
    than the model's own."""
    learning_rate: float | None = None
    """A rate of the method's own, for one that does not train all weights (adapters, prompts); None takes the plan's,
    as every method must that does. It belongs into ``settings``."""

    def prepare_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Return the model that trains on ``task``; a classifier gets the task's head here.

        Raises:
            ValueError: ``task`` is to be classified, by a model that has no heads.
        """
        if task.task.kind != "classification":
            return model
        if not hasattr(model, "heads"):
            raise ValueError(
                f"{task.name!r} is a classification task, and {type(model).__name__} has no heads for it: take a "
                "role that is an encoder, 'roberta' or 'bert'."
            )
        if task.name not in model.heads:  # pyright: ignore[reportOperatorIssue]  # MultiTaskClassifier.heads
            model.add_head(task.name, len(task.task.label_names))  # pyright: ignore[reportCallIssue]  # a method
        return model

    def require_ready(self, model: nn.Module) -> None:
        """Refuse to train in a trainer of one's own (not in ``learn_sequence``), where this method would do nothing.

        There only the hooks from ``extra_loss`` to ``after_step`` are called: a method that keeps something of old
        tasks must have it by now, and one that prepares models or data has to be given a sequence. Override it where
        that is not so.

        Raises:
            ValueError: The method keeps nothing yet, needs hooks that a trainer of one's own does not call, or does
                not fit the model.
        """
        kind = type(self)
        if kind.after_task is not Method.after_task and not self.stored_bytes():
            how = ", or ".join(
                text
                for name, text in (
                    ("from_data", f"make it with {kind.__name__}.from_data(model, old_data, …)"),
                    ("protect", "call its protect(model, old_data)"),
                    ("after_task", "let learn_sequence train the old task with it"),
                )
                if hasattr(kind, name)
            )
            raise ValueError(
                f"{self.name} protects nothing yet, so that this would be plain training: {how} before training on "
                "something new."
            )
        needed = [
            name for name in ("prepare_model", "training_data") if getattr(kind, name) is not getattr(Method, name)
        ]
        if self.restarts_from_base or (needed and not self.stored_bytes()):
            raise ValueError(
                f"{self.name} needs a sequence of tasks: its {' and '.join(needed) or 'restart'} is called by "
                "cf.learn_sequence (or cf.learn_once), not by a trainer of your own, where it would be plain training."
            )

    def training_data(self, task: EncodedTask, seen: Sequence[EncodedTask]) -> Dataset:
        """Return the encoded examples to train on; ``seen`` are the earlier tasks."""
        return task.train

    def mix(self, dataset: Any) -> Any:
        """Return what a trainer trains on, given its ``train_dataset``; ``learn_sequence`` asks ``training_data``."""
        return dataset

    def training_steps(self, steps: int, seen: Sequence[EncodedTask]) -> int:
        """Return how many optimizer steps this task gets, out of the ``steps`` that every method is given."""
        return steps

    def extra_loss(self, model: nn.Module, inputs: Batch, outputs: Any, num_items: Tensor) -> Tensor | None:
        """Return a loss to add, or None. Not called during evaluation.

        Args:
            model: In training mode, inside the forward pass's autocast context.
            inputs: One micro-batch.
            outputs: The model's outputs for it, with their graph.
            num_items: Number of target items of the whole optimizer step. Return the *sum* over this micro-batch's
                items divided by it, so that gradient accumulation changes nothing.
        """
        return None

    def after_backward(self, model: nn.Module, scale: float) -> None:
        """Change ``.grad`` in place, once per optimizer step, before clipping; ``scale`` is the loss scaler's."""

    def after_step(self, model: nn.Module) -> None:
        """Look at the weights after an optimizer step."""

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Remember what the next tasks will need; the model stands at the end of ``task``."""

    def prediction_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Return the model that answers for ``task``."""
        return model

    def diagnostics(self, model: nn.Module) -> dict[str, float]:
        """Return numbers to log beside the loss, such as the penalty's value and its gradient norm."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return what distinguishes this method from others of its name, as written into records."""
        return {}

    def stored_bytes(self) -> int:
        """Return the size of what the method keeps between tasks."""
        return bytes_of(self.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs: tensors, numbers, strings and containers of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""
        if state:
            raise ValueError(f"{self.name} keeps no state, but got {sorted(state)}: was it saved by another method?")


def bytes_of(state: Any) -> int:
    """Return the size of all tensors in nested containers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(state))


def _tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    values = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else []
    return [tensor for value in values for tensor in _tensors(value)]


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that training changes, each tied weight once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def copy_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a detached copy of a state dict on the CPU, each tensor in its own memory."""
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
