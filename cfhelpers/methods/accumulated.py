"""What methods share that remember all old tasks in one importance and one anchor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self, cast

from torch import nn

from cfhelpers.fisher import Importance
from cfhelpers.methods.anchored import AnchoredMethod
from cfhelpers.methods.penalty import QuadraticPenalty


class AccumulatedMethod(AnchoredMethod):
    """One penalty, whatever the number of tasks: importances are summed, and the anchor is where the last task ended.

    A head that comes with a later task joins the sum. A head that a later task does not reach keeps what it has, times
    ``decay``. The parameters themselves may not disappear or be frozen between tasks.

    Attributes:
        total: The importance of all tasks so far; None before the first has ended.
        decay: γ in Ω ← γ Ω + Ω_task; 1 forgets nothing.
    """

    total: Importance | None = None
    decay: float = 1.0

    def protect(self, model: nn.Module, batches: Iterable[Any]) -> Self:
        """Add the importance of ``batches`` to the sum and move the anchor to the model as it stands now."""
        newest = cast("Importance", self.importance(model, batches))
        total = newest if self.total is None else self.total.accumulate(newest, self.decay)
        self.total = cast("Importance", self._as_kept(total))
        self.penalties = [QuadraticPenalty(self.total, model, self.strength)]
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return the importance, the anchor and what is needed to go on summing."""
        if self.total is None:
            return super().state_dict()
        kind = {name: getattr(self.total, name) for name in ("n_examples", "n_targets", "variant", "unit")}
        return {**super().state_dict(), "kind": kind}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over importance and anchor; the settings stay this object's."""
        super().load_state_dict(state)
        self.total = Importance(self.penalties[0].stored, **state["kind"]) if self.penalties else None
