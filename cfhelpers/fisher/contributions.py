"""The three forms in which a layer's per-example gradients come."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Outer:
    """Example b's gradient is ``left[b].T @ right[b]``, of shape ``[m, n]``: a matrix product over the tokens.

    Attributes:
        left: ``[B, T, m]``.
        right: ``[B, T, n]``.
    """

    left: Tensor
    right: Tensor


@dataclass(frozen=True)
class Rows:
    """Example b's gradient has ``values[b, t]`` added to row ``ids[b, t]``, and is zero elsewhere.

    Attributes:
        ids: ``[B, T]``; negative where nothing is added.
        values: ``[B, T, n]``.
    """

    ids: Tensor
    values: Tensor


@dataclass(frozen=True)
class Vector:
    """Example b's gradient is ``values[b]``.

    Attributes:
        values: ``[B, n]``.
    """

    values: Tensor


Contribution = Outer | Rows | Vector


class NotPerExampleError(ValueError):
    """A layer's input has no batch dimension, so its gradients cannot be told apart by example."""


def per_example(tensor: Tensor, examples: int) -> Tensor:
    """``[B, …, n]`` as ``[B, T, n]``.

    Raises:
        NotPerExampleError: The first dimension is not B.
    """
    if tensor.dim() < 2 or tensor.shape[0] != examples:
        raise NotPerExampleError(f"shape {tuple(tensor.shape)} has no batch dimension of {examples}")
    return tensor.reshape(examples, -1, tensor.shape[-1])
