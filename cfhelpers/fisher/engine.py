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
from cfhelpers.fisher.selfcheck import leave_to_the_loop, verdict, verdict_on


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
            ValueError: A weight that only its own layer used in the first batch is used elsewhere too in this one.
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
        lost = {name: reason for name, reason in self.hooks.refused.items() if name not in self.hooks.mixed}
        if lost:
            name, reason = next(iter(lost.items()))
            raise ValueError(
                f"{len(lost)} parameters cannot be estimated in this batch, {name!r} for one: {reason}. "
                "Use batches of one example."
            )
        if self.hooks.mixed:
            self._leave_to_the_loop(set(self.hooks.mixed))
        if self.hooks.late:
            self._take_in(self.hooks.late, batch)
        if self._leftover.parameters:
            self._enable(self._leftover)
            self._leftover.add(batch, self.objective)

    def _leave_to_the_loop(self, names: set[str]) -> None:
        """Take this and all later batches one example at a time for parameters whose rows are not examples."""
        assert self._leftover is not None
        leave_to_the_loop(self.forward, self.loop, {name: self.hooks.refused[name] for name in names})
        self.hooks.drop(names)
        self._leftover.parameters |= {name: self.loop.parameters[name] for name in names}

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
