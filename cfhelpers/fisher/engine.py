"""Which parameters go through the hooks and which through the loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from cfhelpers.fisher.data import Batch
from cfhelpers.fisher.forward import Forward
from cfhelpers.fisher.hooks import Hooks
from cfhelpers.fisher.loop import Loop
from cfhelpers.fisher.objective import Objective
from cfhelpers.fisher.padding import without_padding
from cfhelpers.fisher.selfcheck import verdict, verdict_on


class Engine:
    """Sums squared (or absolute) gradients: hooks where they are right, one example at a time where they are not.

    Args:
        forward: Calls the model.
        parameters: The trainable parameters, by name.
        objective: What is differentiated.

    Attributes:
        sums: Parameter name to the sum of gradients raised to the objective's power, float32 or wider.
    """

    def __init__(self, forward: Forward, parameters: Mapping[str, nn.Parameter], objective: Objective) -> None:
        self.forward = forward
        self.objective = objective
        self.loop = Loop(forward, parameters)
        self.sums: dict[str, Tensor] = self.loop.sums
        self.hooks = Hooks(forward, parameters, self.sums)
        self._leftover: Loop | None = None

    @property
    def reached(self) -> set[str]:
        """Names of the parameters that some objective depends on."""
        leftover = self._leftover.reached if self._leftover else set()
        return self.loop.reached | self.hooks.reached | leftover

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have the hooks in place."""
        with self.hooks.watching():
            yield

    def add(self, batch: Batch) -> None:
        """Add a batch's squared (or absolute) gradients.

        Raises:
            ValueError: A layer that saw one row per example in the first batch does not in this one.
        """
        whole = self.objective.variant == "batched"
        for part in [batch] if whole else without_padding(self.forward, batch):
            self._add(part)

    def _add(self, batch: Batch) -> None:
        if len(batch) == 1 or self.objective.variant == "batched":
            self._enable(self.loop)
            self.loop.add(batch, self.objective)
            return
        if self._leftover is None:
            self._leftover = self._check(batch)
        self.hooks.add(batch, self.objective)
        if self.hooks.refused:
            name, reason = next(iter(self.hooks.refused.items()))
            raise ValueError(
                f"{len(self.hooks.refused)} parameters cannot be estimated in this batch, {name!r} for one: {reason}. "
                "Batches that mix tasks with different heads must be split by task, or use batches of one example."
            )
        if self.hooks.late:
            self._take_in(self.hooks.late, batch)
        if self._leftover.parameters:
            self._enable(self._leftover)
            self._leftover.add(batch, self.objective)

    def _take_in(self, names: set[str], batch: Batch) -> None:
        """Add a batch for parameters that it is the first to reach, and decide which way they go from now on."""
        assert self._leftover is not None
        part = Loop(self.forward, {name: self.loop.parameters[name] for name in names})
        self._enable(part)
        uncovered = verdict_on(part, self.forward, self.loop, batch, self.objective).uncovered
        self._leftover.parameters |= {name: self.loop.parameters[name] for name in uncovered}
        once = Loop(self.forward, {name: self.loop.parameters[name] for name in names - uncovered})
        once.sums = self.sums
        self._enable(once)
        once.add(batch, self.objective)
        self.hooks.drop(uncovered)
        self.hooks.reached |= once.reached
        self.hooks.unverified -= names
        self.hooks.late = set()

    def _check(self, batch: Batch) -> Loop:
        self._enable(self.loop)
        found = verdict(self.forward, self.loop, batch, self.objective)
        uncovered = found.uncovered.union(self.hooks.without_rule)
        self.hooks.drop(uncovered)
        self.hooks.expand = found.expand
        self.hooks.unverified = set(found.unreached)
        leftover = Loop(self.forward, {name: self.loop.parameters[name] for name in uncovered})
        leftover.sums = self.sums
        return leftover

    def _enable(self, loop: Loop) -> None:
        for name, parameter in self.loop.parameters.items():
            parameter.requires_grad_(name in loop.parameters)
