"""What the exercises of chapter 5 share: random factors, and a look at whether an answer left them alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfhelpers.course.checks.exercise import CheckFailed


def factors(seed: int, rank: int, inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
    """Return A, shape ``[rank, inputs]``, and B, shape ``[outputs, rank]``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, inputs, generator=generator), torch.randn(outputs, rank, generator=generator)


def untouched(answer: Callable[..., Any], tensors: Sequence[Tensor], *inputs: Any) -> Any:
    """Return what an answer gives for its inputs.

    Raises:
        CheckFailed: It changed one of ``tensors``, which are among them.
    """
    before = [each.clone() for each in tensors]
    found = answer(*inputs)
    if any(not torch.equal(one, other) for one, other in zip(tensors, before, strict=True)):
        raise CheckFailed("your code changed A or B in place. Compute with them, but leave them as they are.")
    return found


def matrix(value: Any, what: str) -> NDArray[np.float64]:
    """Return a matrix that an answer gave as an array.

    Raises:
        CheckFailed: It is not a tensor.
    """
    if value is None:
        raise CheckFailed(f"{what} is None: the answer has to end with a return statement.")
    if not isinstance(value, Tensor):
        raise CheckFailed(f"{what} must be a tensor, not {type(value).__name__}.")
    return value.detach().double().cpu().numpy()
