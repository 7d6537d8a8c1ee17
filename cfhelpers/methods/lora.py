"""Low-rank adapters beside frozen weights (LoRA; Hu et al., 2022), on peft."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from cfhelpers.methods.adapter_choice import ChosenAdapter
from cfhelpers.methods.adapters import Targets, adapter_names, adapter_parameters, add_adapter, target_names
from cfhelpers.methods.adapters import using_adapters as using
from cfhelpers.methods.answering import AnswersWithin
from cfhelpers.methods.base import Method
from cfhelpers.tasks.encoding import EncodedTask

Mode = Literal["shared", "told", "chosen", "merged"]
SHARED = "shared"


class LoRA(Method):
    """Train low-rank updates of the linear layers; every weight of the model itself stays as it is, bit for bit.

    Args:
        rank: r of each update.
        mode: "shared": one adapter learns all tasks, one after the other. The others give each task an adapter of its
            own on the untouched model, which can forget nothing, and differ in who answers: "told", the adapter of the
            task that somebody names; "chosen", the one that finds the input likeliest (``ChosenAdapter``); "merged",
            the mean of all updates.
        alpha: α; updates are multiplied by α/r.
        targets: "attention", "mlp" or "all" linear layers.
        learning_rate: The adapters' own. About ten times what all weights need; sweep it.

    Raises:
        ValueError: A rank below 1, an alpha or rate that is not positive, or an unknown mode or target.
    """

    name = "lora"
    own_first_task = True

    def __init__(
        self,
        rank: int = 8,
        *,
        mode: Mode = "shared",
        alpha: float = 16.0,
        targets: Targets = "all",
        learning_rate: float = 2e-3,
    ) -> None:
        if rank < 1 or alpha <= 0 or learning_rate <= 0:
            raise ValueError(f"rank, alpha and learning_rate must be positive, got {rank}, {alpha}, {learning_rate}.")
        if mode not in ("shared", "told", "chosen", "merged"):
            raise ValueError(f"mode must be 'shared', 'told', 'chosen' or 'merged', got {mode!r}.")
        if targets not in ("attention", "mlp", "all"):
            raise ValueError(f"targets must be 'attention', 'mlp' or 'all', got {targets!r}.")
        self.rank, self.mode, self.alpha = rank, mode, float(alpha)
        self.targets: Targets = targets
        self.learning_rate = float(learning_rate)
        self.sizes: dict[str, int] = {}

    @property
    def trained_parameters(self) -> int:
        """How many numbers the adapters have in all, heads left aside."""
        return sum(self.sizes.values())

    def prepare_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Put the task's adapter in, in place, and let nothing else train but its head."""
        model = super().prepare_model(model, task)
        adapter = SHARED if self.mode == "shared" else task.name
        if adapter not in adapter_names(model):
            layers = target_names(model, self.targets)
            add_adapter(model, adapter, rank=self.rank, alpha=self.alpha, layers=layers)
        parameters = adapter_parameters(model, adapter)
        self.sizes[adapter] = sum(parameter.numel() for parameter in parameters.values())
        # A shared adapter may be trained on old examples too, and then with their heads.
        heads = "heads." if self.mode == "shared" else f"heads.{task.name}."
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in parameters or name.startswith(heads))
        return model

    def prediction_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Return the model with the adapters that the mode answers with; the bare one if there are none yet."""
        names = adapter_names(model)
        if self.mode == "shared" or not names:
            return model
        if self.mode == "chosen":
            return ChosenAdapter(model, names)
        weights = {task.name: 1.0} if self.mode == "told" else {name: 1 / len(names) for name in names}
        weights = {name: weight for name, weight in weights.items() if name in names}
        return AnswersWithin(model, lambda: using(model, weights))

    def settings(self) -> dict[str, Any]:
        """Return rank, mode, α, targets and learning rate."""
        return {
            "rank": self.rank,
            "mode": self.mode,
            "alpha": self.alpha,
            "targets": self.targets,
            "learning_rate": self.learning_rate,
        }

    def stored_bytes(self) -> int:
        """Return the size of the adapters in float32: what has to be kept beside the untouched model."""
        return 4 * self.trained_parameters

    def state_dict(self) -> dict[str, Any]:
        """Return the adapters' sizes; they themselves are in the model, see ``save_adapters``."""
        return {"sizes": self.sizes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the adapters' sizes."""
        self.sizes = state["sizes"]
