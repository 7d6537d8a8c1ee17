"""A Triton kernel that squares each example's product in registers and writes the sum once (CUDA only).

Without it, a GPU spends most of an estimate on memory: every example's product is written, read, squared and added.
Here one program holds a tile of the sum and a tile of the product in registers and loops over the examples.
"""

# Triton gives a kernel's parameters, and calls of it, a meaning of its own.
# ruff: noqa: ANN001, ANN202
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportMissingImports=false
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from cfhelpers.fisher.objective import Power

TILE, TOKENS = 128, 32  # rows and columns of a tile; tokens multiplied at a time
PROGRAMS_PER_PROCESSOR = 2


@triton.jit
def _kernel(
    left, right, out, examples, tokens, m, n,
    left_b, left_t, left_m, right_b, right_t, right_n, out_s, out_m, out_n,
    POWER: tl.constexpr, SPLITS: tl.constexpr, PRECISION: tl.constexpr, TILE: tl.constexpr, TOKENS: tl.constexpr,
):  # fmt: skip
    split = tl.program_id(2)
    rows = tl.program_id(0) * TILE + tl.arange(0, TILE)
    columns = tl.program_id(1) * TILE + tl.arange(0, TILE)
    total = tl.zeros((TILE, TILE), dtype=tl.float32)
    # Pointers move from example to example: an offset into all of them may be more than 32 bits can hold.
    lefts, rights = left + split.to(tl.int64) * left_b, right + split.to(tl.int64) * right_b
    for _ in range(split, examples, SPLITS):
        product = tl.zeros((TILE, TILE), dtype=tl.float32)
        for first in range(0, tokens, TOKENS):
            places = first + tl.arange(0, TOKENS)
            here = places < tokens
            a = tl.load(
                lefts + rows[:, None] * left_m + places[None, :] * left_t,
                mask=(rows < m)[:, None] & here[None, :], other=0.0,
            )  # fmt: skip
            b = tl.load(
                rights + places[:, None] * right_t + columns[None, :] * right_n,
                mask=here[:, None] & (columns < n)[None, :], other=0.0,
            )  # fmt: skip
            product = tl.dot(a, b, product, input_precision=PRECISION)
        total += product * product if POWER == 2 else tl.abs(product)
        lefts += SPLITS * left_b
        rights += SPLITS * right_b
    place = out + split * out_s + rows.to(tl.int64)[:, None] * out_m + columns[None, :] * out_n
    inside = (rows < m)[:, None] & (columns < n)[None, :]
    if SPLITS == 1:
        total += tl.load(place, mask=inside, other=0.0)
    tl.store(place, total, mask=inside)


def add_raised_outer_(total: Tensor, left: Tensor, right: Tensor, power: Power, splits: int | None = None) -> None:
    """``total += ∑_b |left[b].T @ right[b]| ** power``.

    Args:
        total: ``[m, n]``, float32.
        left: ``[B, T, m]``, of any floating-point precision; products are summed in float32.
        right: ``[B, T, n]``.
        power: 2 for squares, 1 for absolute values.
        splits: Among how many programs the examples of a tile are divided. Default: enough to fill the GPU. Their
            sums are added in a fixed order, so that results repeat bit for bit.
    """
    if left.dtype != right.dtype:
        left, right = left.float(), right.float()
    (examples, tokens, m), n = left.shape, right.shape[2]
    grid = triton.cdiv(m, TILE), triton.cdiv(n, TILE)
    splits = splits or _splits(grid[0] * grid[1], examples, total.device)
    out = total[None] if splits == 1 else total.new_empty(splits, m, n)
    arguments: tuple[Any, ...] = (left, right, out, examples, tokens, m, n)
    strides = *left.stride(), *right.stride(), *out.stride()
    precision = "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"
    _kernel[(*grid, splits)](  # pyright: ignore[reportIndexIssue]  # a kernel is launched by indexing it with its grid
        *arguments, *strides, POWER=power, SPLITS=splits, PRECISION=precision, TILE=TILE, TOKENS=TOKENS, num_warps=8
    )  # fmt: skip
    if splits > 1:
        total.add_(out.sum(0))


def _splits(tiles: int, examples: int, device: torch.device) -> int:
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return max(1, min(examples, PROGRAMS_PER_PROCESSOR * processors // tiles))
