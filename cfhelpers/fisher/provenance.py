"""Whether a layer's rows ``[n, D]`` are one for each example, or tokens that happen to be as many."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def tokens_instead_of_examples(inputs: Tensor, examples: int) -> str | None:
    """Say what is wrong if a layer's two-dimensional input was gathered from tokens; None if nothing is known to be.

    Its graph is followed to where the rows were taken from ``[B, T, D]`` (or from all tokens, ``[B * T, D]``), and the
    places that were taken are read there: row b must come from example b. Without a graph, in front of the first
    trainable parameter, nothing can be followed.

    Args:
        inputs: ``[n, D]`` with n = ``examples``.
        examples: B.
    """
    waiting, seen = [inputs.grad_fn], set()
    while waiting:
        node: Any = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        shape = _shape(node)
        if len(shape) >= 3 and shape[0] == examples:
            continue
        if _takes_other_rows(node, examples):
            return "its rows are tokens that were selected, not one for each example"
        waiting += [before for before, _ in node.next_functions]
    return None


def _shape(node: Any) -> tuple[int, ...]:
    metadata = getattr(node, "_input_metadata", None)  # of what comes out of the operation
    return tuple(metadata[0].shape) if metadata else ()


def _takes_other_rows(node: Any, examples: int) -> bool:
    kind = node.name()
    if kind.startswith("IndexBackward"):
        return not _index_is_by_example(list(node._saved_indices), tuple(node._saved_self_sym_sizes), examples)
    if kind.startswith("IndexSelectBackward"):
        by_row = node._saved_dim in (0, -len(node._saved_self_sym_sizes))
        return by_row and not _is_by_example(node._saved_index, int(node._saved_self_sym_sizes[0]), examples)
    if kind.startswith("GatherBackward"):
        return node._saved_dim in (0, -node._saved_index.dim())
    return kind.startswith(("MaskedSelectBackward", "TakeBackward"))


def _index_is_by_example(indices: list[Tensor | None], sizes: tuple[int, ...], examples: int) -> bool:
    place = next((number for number, index in enumerate(indices) if index is not None), len(indices))
    if place == 1 and sizes[0] == 1 and examples > 1:
        sizes, indices = sizes[1:], indices[1:]  # a dimension that was put before all tokens
    elif place > 0:
        return True
    index = indices[0]
    return index is not None and _is_by_example(index, int(sizes[0]), examples)


def _is_by_example(index: Tensor, size: int, examples: int) -> bool:
    """Whether place b of ``index``, into ``size`` rows or tokens, belongs to example b."""
    rows = index.nonzero()[:, 0] if index.dtype == torch.bool else index.flatten()
    if size % examples or len(rows) != examples:
        return False
    return torch.equal(rows.div(size // examples, rounding_mode="floor"), torch.arange(examples, device=rows.device))
