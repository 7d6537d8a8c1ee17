"""Keeping importances in fewer bytes than they are worked with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Storage = Literal["float32", "bfloat16", "float16"]
STORAGES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# A float16 tensor is scaled to a maximum between 2¹⁴ and 2¹⁵, below the overflow at 2¹⁶; its smallest number is 2⁻²⁴.
FLOAT16_EXPONENT = 15
SMALLEST_EXPONENT = -126  # of a float32 power of two that is exact, and whose inverse is finite


@dataclass(frozen=True)
class Stored:
    """A float32 tensor as it is kept: ``values · 2^exponent``, in which the power of two adds no rounding.

    Attributes:
        values: Of any floating-point precision, shaped like the parameter.
        exponent: 0 unless ``values`` are float16.
    """

    values: Tensor
    exponent: int = 0

    def expand(self, device: torch.device | None = None) -> Tensor:
        """The float32 tensor, on ``device`` if one is given: the kept tensor itself where that is possible."""
        expanded = self.values.to(device=device, dtype=torch.float32)
        return expanded if self.exponent == 0 else expanded.mul_(2.0**self.exponent)

    def to(self, *, dtype: Storage | None = None, device: torch.device | None = None) -> Stored:
        """The same in another precision or place; what has that precision already is not rounded again."""
        if dtype is None or self.values.dtype == STORAGES[dtype]:
            return Stored(self.values.to(device=device), self.exponent)
        expanded = self.expand()
        if dtype != "float16":
            return Stored(expanded.to(device=device, dtype=STORAGES[dtype]))
        largest = float(expanded.amax()) if expanded.numel() else 0.0
        exponent = max(math.frexp(largest)[1] - FLOAT16_EXPONENT, SMALLEST_EXPONENT) if largest > 0 else 0
        return Stored((expanded * 2.0**-exponent).to(device=device, dtype=torch.float16), exponent)

    def split(self, entries: int) -> list[Stored]:
        """Flat slices of so many entries, which share the (contiguous) tensor's memory."""
        return [Stored(part, self.exponent) for part in self.values.view(-1).split(entries)]
