"""Two weights and two tasks: everything that elastic weight consolidation does, drawn and solved on paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from cfhelpers.methods.penalty import QuadraticPenalty

WEIGHT = "weight"


@dataclass(frozen=True)
class TwoWeightTask:
    """Regression y = θ·x + noise of variance 1, with two inputs: the loss is a bowl, and the Fisher is its curvature.

    For this model the expected negative log-likelihood is ½ (θ − optimum)ᵀ F (θ − optimum) plus a constant, with
    F = E[x xᵀ]: quadratic everywhere, so that nothing in EWC is approximate but the diagonal.

    Attributes:
        optimum: The weights that generated the data.
        variances: Of the two inputs: the diagonal of F, in nats per squared unit of weight.
        correlation: Of the two inputs, between −1 and 1. What a diagonal cannot say.

    Raises:
        ValueError: A variance is not positive, or the correlation is not inside (−1, 1).
    """

    optimum: tuple[float, float]
    variances: tuple[float, float] = (1.0, 1.0)
    correlation: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no covariance."""
        if min(self.variances) <= 0 or not -1 < self.correlation < 1:
            raise ValueError(f"variances must be positive and the correlation inside (-1, 1), got {self}.")

    @property
    def fisher(self) -> Tensor:
        """The whole Fisher information F ``[2, 2]``, which is also the curvature of the loss."""
        first, second = self.variances
        mixed = self.correlation * (first * second) ** 0.5
        return torch.tensor([[first, mixed], [mixed, second]], dtype=torch.float64)

    def loss(self, weights: Tensor) -> Tensor:
        """Expected negative log-likelihood in nats, above its least value, for weights ``[…, 2]``."""
        distance = weights - torch.tensor(self.optimum, dtype=weights.dtype)
        return 0.5 * torch.einsum("...i,ij,...j->...", distance, self.fisher.to(weights.dtype), distance)


class TwoWeights(nn.Module):
    """The two weights, as a model that the library's penalty can hold.

    Args:
        weights: Where they stand at first.
    """

    def __init__(self, weights: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weights, dtype=torch.float64))


def ewc_solution(old: TwoWeightTask, new: TwoWeightTask, strength: float, *, diagonal: bool = True) -> Tensor:
    """Where EWC comes to rest, solved on paper: (F_new + λ F_old)⁻¹ (F_new θ_new + λ F_old θ_old).

    Set the gradient of Kirkpatrick et al. (2017), eq. 3, to zero.

    Args:
        old: Its optimum is the anchor, its Fisher the importance.
        new: Is being learned.
        strength: λ ≥ 0.
        diagonal: Use the diagonal of the old task's Fisher only, as EWC does.

    Returns:
        The two weights ``[2]``, float64.

    Raises:
        ValueError: ``strength`` is negative or not finite.
    """
    if not 0 <= strength < math.inf:
        raise ValueError(f"strength must be finite and not negative, got {strength}.")
    importance = torch.diag(torch.diag(old.fisher)) if diagonal else old.fisher
    anchor, target = (torch.tensor(task.optimum, dtype=torch.float64) for task in (old, new))
    return torch.linalg.solve(new.fisher + strength * importance, new.fisher @ target + strength * importance @ anchor)


def train_with_ewc(old: TwoWeightTask, new: TwoWeightTask, strength: float, *, most_steps: int = 20_000) -> Tensor:
    """Learn the new task by gradient descent with the library's penalty; the weights begin at the anchor.

    Args:
        old: Already learned: its optimum is the anchor.
        new: Is being learned.
        strength: λ ≥ 0.
        most_steps: Of gradient descent, each as long as the steepest direction allows; it ends as soon as the gradient
            says that the weights are within 1e-5 of rest.

    Returns:
        The two weights ``[2]`` at the end, float64.

    Raises:
        RuntimeError: ``most_steps`` were too few, because one direction is far flatter than the other.
    """
    model = TwoWeights(old.optimum)
    penalty = QuadraticPenalty({WEIGHT: torch.diag(old.fisher)}, model, strength)
    curvature = new.fisher + strength * torch.diag(torch.diag(old.fisher))
    flattest, steepest = torch.linalg.eigvalsh(curvature).tolist()
    optimizer = torch.optim.SGD(model.parameters(), lr=1 / steepest)
    for _ in range(most_steps):
        optimizer.zero_grad()
        new.loss(model.weight).backward()
        penalty.add_gradient_(model)
        # Not the gradient's length: along a flat direction it is small far away from rest.
        distance = torch.linalg.solve(curvature, cast("Tensor", model.weight.grad))
        if float(torch.linalg.vector_norm(distance)) < 1e-5:
            return model.weight.detach()
        optimizer.step()
    raise RuntimeError(
        f"gradient descent did not come to rest within {most_steps} steps: one direction is {steepest / flattest:.0f} "
        "times as steep as the other. Use a smaller strength, tasks whose variances differ less, or ewc_solution."
    )
