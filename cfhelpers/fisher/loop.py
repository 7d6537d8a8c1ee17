"""The definition, one example at a time: slow, and right for every module."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cfhelpers.fisher.data import Batch
from cfhelpers.fisher.forward import Forward
from cfhelpers.fisher.objective import Objective


class Loop:
    """Sums squared (or absolute) gradients, one forward and backward pass per example (per batch for ``"batched"``).

    Attributes:
        sums: Parameter name to the sum of gradients raised to the objective's power, float32 or wider.
        reached: Names of the parameters that some objective depends on.
    """

    def __init__(self, forward: Forward, parameters: Mapping[str, nn.Parameter]) -> None:
        self.forward = forward
        self.parameters = dict(parameters)
        self.sums = {name: zeros_for(parameter) for name, parameter in parameters.items()}
        self.reached: set[str] = set()

    def add(self, batch: Batch, objective: Objective) -> None:
        """Add the squared (or absolute) gradients of every example of a batch."""
        if not self.parameters:
            return
        step = len(batch) if objective.variant == "batched" else 1
        for start in range(0, len(batch), step):
            self._add_together(batch.rows(start, start + step), objective)

    def _add_together(self, batch: Batch, objective: Objective) -> None:
        logits = self.forward(batch)
        last = objective.passes(logits) - 1
        for step, gradient in enumerate(objective.gradients(logits, batch.labels, batch.indices)):
            if not logits.requires_grad:
                return
            found = torch.autograd.grad(
                logits, list(self.parameters.values()), gradient, retain_graph=step < last, allow_unused=True
            )
            for name, part in zip(self.parameters, found, strict=True):
                if part is not None:
                    self.reached.add(name)
                    part = part.to_dense() if part.is_sparse else part
                    part = part.to(self.sums[name].dtype)
                    if objective.power == 2:
                        self.sums[name].addcmul_(part, part)
                    else:
                        self.sums[name].add_(part.abs())


def zeros_for(parameter: Tensor) -> Tensor:
    """An accumulator for squares: at least float32, because half precision flushes small squares to zero."""
    return torch.zeros_like(parameter, dtype=torch.promote_types(parameter.dtype, torch.float32), requires_grad=False)
