"""What EWC and its kin share: quadratic penalties, here one for each finished task."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from cfhelpers.fisher import Importance
from cfhelpers.fisher.adapters import idle_adapters
from cfhelpers.fisher.naming import named_parameters, unwrap_model
from cfhelpers.fisher.storage import Storage
from cfhelpers.methods.base import Method
from cfhelpers.methods.penalty import QuadraticPenalty
from cfhelpers.tasks.encoding import EncodedTask


class AnchoredMethod(Method):
    """Pull the weights towards where they stood after each old task; nothing is pulled during the first.

    Args:
        strength: λ, in nats per unit of importance times squared weight. Depends on the loss and on the scale of
            the importance: sweep it on a logarithmic grid.

    Raises:
        ValueError: ``strength`` is negative or not finite.
    """

    storage: Storage = "float32"
    """The precision in which importances are kept; the anchor is never rounded."""

    def __init__(self, strength: float) -> None:
        self.penalties: list[QuadraticPenalty] = []
        self.strength = strength

    @property
    def strength(self) -> float:
        """λ of every penalty; may be set anew at any time, for instance to what ``suggest_strength`` found."""
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"strength must be a finite number ≥ 0, got {value}.")
        self._strength = float(value)
        for penalty in self.penalties:
            penalty.strength = self._strength

    @classmethod
    def from_data(cls, model: nn.Module, batches: Iterable[Any] | None, *, strength: float, **settings: Any) -> Self:
        """Protect what a model already knows about ``batches`` before it trains on something else.

        Args:
            model: Trained; its present weights become the anchor.
            batches: What should be kept, in the form ``fisher_diagonal`` takes; None for a method that looks at no
                data (``L2SP``, ``EWCOnGenerations``).
            strength: λ.
            **settings: As for the class.

        Returns:
            The method to give to ``ContinualTrainer(method=…)``.

        Raises:
            ValueError: As the importance's estimate raises it; for ``EWC`` that is ``fisher_diagonal``.
        """
        return cls(strength, **settings).protect(model, [] if batches is None else batches)

    def require_ready(self, model: nn.Module) -> None:
        """Refuse a trainer of one's own while nothing is protected, or a model that the penalties do not fit.

        Raises:
            ValueError: As said.
        """
        super().require_ready(model)
        self.require_fit(model)

    def require_fit(self, model: nn.Module) -> None:
        """Compare every penalty with a model.

        Raises:
            ValueError: The model lacks a parameter of a penalty or has it in another shape, or none of those that are
                protected is trained and in use.
        """
        parameters = named_parameters(model)
        for penalty in self.penalties:
            penalty.require_fit(model)
        trained = [n for each in self.penalties for n in each.stored if parameters[n].requires_grad]
        if self.penalties and not trained:
            raise ValueError(
                f"{self.name} protects only parameters that are frozen, so that it changes nothing. Were the "
                "importances estimated before adapters were put into the model (peft), or an adapter loaded without "
                "is_trainable=True? Estimate on the model that is trained."
            )
        starts = {f"{start}.": what for start, *what in idle_adapters(unwrap_model(model))}
        if trained and starts and all(name.startswith(tuple(starts)) for name in trained):
            adapter, reason = next(what for start, what in starts.items() if trained[0].startswith(start))
            raise ValueError(
                f"{self.name} protects only adapter {adapter!r}, which is not in use ({reason}): training changes what "
                "another one says. Estimate with the adapter that is trained, or choose with model.set_adapter(…)."
            )

    def importance(self, model: nn.Module, batches: Iterable[Any]) -> Importance | None:
        """Return how much each parameter matters for the data just learned; None if all matter equally."""
        raise NotImplementedError

    def protect(self, model: nn.Module, batches: Iterable[Any]) -> Self:
        """Add a penalty that keeps the model, as it stands now, good at ``batches``."""
        importance = self._as_kept(self.importance(model, batches))
        self.penalties.append(QuadraticPenalty(importance, model, self.strength))
        return self

    def _as_kept(self, importance: Importance | None) -> Importance | None:
        return importance if importance is None or self.storage == "float32" else importance.stored(dtype=self.storage)

    def after_backward(self, model: nn.Module, scale: float) -> None:
        """Add the gradient of every penalty."""
        for penalty in self.penalties:
            penalty.add_gradient_(model, scale)

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Measure the importance at the weights that become the anchor."""
        self.protect(model, task.batches("train"))

    def diagnostics(self, model: nn.Module) -> dict[str, float]:
        """Return the penalties' value in nats and the norm of their gradient."""
        if not self.penalties:
            return {}
        value, norm = self._value_and_pull_norm(model)
        return {"penalty": self.strength * value, "penalty_gradient_norm": self.strength * norm}

    def pull_norm(self, model: nn.Module) -> float:
        """Return the norm of the penalties' gradient at λ = 1, at the model's present weights."""
        return self._value_and_pull_norm(model)[1]

    def _value_and_pull_norm(self, model: nn.Module) -> tuple[float, float]:
        self.require_fit(model)
        value, squared_norm = 0.0, 0.0
        for name, parameter in named_parameters(model).items():
            gradient: Tensor | None = None
            for penalty in self.penalties:
                if name in penalty.stored:
                    distance, pull = penalty.pull(name, parameter)
                    value += float(distance.mul_(pull).sum()) / 2
                    gradient = pull if gradient is None else gradient.add_(pull)
            if gradient is not None:
                squared_norm += float(torch.linalg.vector_norm(gradient)) ** 2
        return value, math.sqrt(squared_norm)

    def settings(self) -> dict[str, Any]:
        """Return λ."""
        return {"strength": self.strength}

    def state_dict(self) -> dict[str, Any]:
        """Return each penalty's importance and anchor."""
        return {"penalties": [penalty.state_dict() for penalty in self.penalties]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over importances and anchors; λ stays this object's."""
        self.penalties = [QuadraticPenalty.from_state(each, self.strength) for each in state["penalties"]]


def one_of(value: Any, choices: Collection[Any], what: str) -> Any:
    """Return a setting that is one of its choices.

    Raises:
        ValueError: It is none of them.
    """
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}; choose one of {', '.join(map(str, choices))}.")
    return value
