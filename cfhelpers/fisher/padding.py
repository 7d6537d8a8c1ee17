"""Batches with less padding, for models to which padding makes no difference."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from dataclasses import replace

import torch
from torch import Tensor

from cfhelpers.fisher.data import Batch
from cfhelpers.fisher.forward import Forward

SMALLEST = 256  # positions in a half: smaller matrix products are slower than the padding that they save
WORTH_SAVING = 1 / 20  # of a batch's positions

_indifferent: dict[Hashable, bool] = {}


def without_padding(forward: Forward, batch: Batch) -> list[Batch]:
    """The examples of ``batch`` in batches cut to their longest one, halved by length where that saves enough.

    The batch comes back as it is unless it is padded on the right, all of its tensors follow the attention mask, and
    the model's logits do not depend on padding, which is tried once for each class of model. An accelerator fares
    better with large batches and with lengths that it need not tell, so there nothing is changed then.

    A model whose logits do depend on padding gets examples of one length together, if the padding is this library's;
    of the caller's padding it is said, once an estimate, that the estimate depends on it.
    """
    on_accelerator = batch.labels.device.type != "cpu"
    if on_accelerator and _indifferent.get(forward.structure) is True:
        return [batch]
    lengths = _lengths(forward, batch)
    if lengths is None or min(lengths) == batch.inputs["attention_mask"].shape[1]:
        return [batch]
    if not _makes_no_difference(forward, batch, lengths):
        if batch.ours:
            return _by_length(batch, lengths)
        _warn_of_padding(forward)
        return [batch]
    if on_accelerator:
        return [batch]
    order = sorted(range(len(batch)), key=lambda row: -lengths[row])
    return [_cut(batch, rows, lengths[rows[0]]) for rows in _groups(order, lengths)]


def _lengths(forward: Forward, batch: Batch) -> list[int] | None:
    """How many tokens each example has, where everything but the padding's place is known to be usual."""
    mask = batch.inputs.get("attention_mask")
    if forward.encoder_decoder or not isinstance(mask, Tensor) or mask.dim() != 2:
        return None
    present = mask != 0
    tensors = [value for value in (*batch.inputs.values(), batch.labels) if isinstance(value, Tensor)]
    usual = all(value.shape[:2] == mask.shape or value.shape == mask.shape[:1] for value in tensors)
    if not usual or not bool(present[:, 0].all()) or bool((present[:, 1:] & ~present[:, :-1]).any()):
        return None
    return present.sum(1).tolist()


def _by_length(batch: Batch, lengths: list[int]) -> list[Batch]:
    rows_of: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        rows_of.setdefault(length, []).append(row)
    return [_cut(batch, rows, length) for length, rows in rows_of.items()]


def _warn_of_padding(forward: Forward) -> None:
    if not forward.warned_of_padding:
        forward.warned_of_padding = True
        warnings.warn(
            f"{type(forward.base).__name__} reads padding: its logits change with it, so this importance depends on "
            "how the batches are padded. Give a data set (examples of one length are then taken together), or batches "
            "whose examples have one length.",
            stacklevel=2,
        )


def _groups(rows: list[int], lengths: list[int]) -> list[list[int]]:
    """Rows, longest first, in halves of halves as long as the second half would save enough."""
    middle = len(rows) // 2
    longest, shorter = lengths[rows[0]], lengths[rows[middle]]
    saved = (longest - shorter) * (len(rows) - middle)
    if middle * shorter < SMALLEST or saved < WORTH_SAVING * longest * len(rows):
        return [rows]
    return _groups(rows[:middle], lengths) + _groups(rows[middle:], lengths)


def _cut(batch: Batch, rows: list[int], length: int) -> Batch:
    chosen = batch.select(rows)
    inputs = {n: v[:, :length] if isinstance(v, Tensor) and v.dim() > 1 else v for n, v in chosen.inputs.items()}
    return replace(
        chosen, inputs=inputs, labels=chosen.labels[:, :length] if chosen.labels.dim() == 2 else chosen.labels
    )


@torch.no_grad()
def _makes_no_difference(forward: Forward, batch: Batch, lengths: list[int]) -> bool:
    """Whether the shortest example has the same logits with its padding and without."""
    key = forward.structure
    if key not in _indifferent:
        row = lengths.index(min(lengths))
        padded, bare = forward(batch.select([row])), forward(_cut(batch, [row], lengths[row]))
        if padded.dim() == 3:
            # Both begin with what a soft prompt puts in front.
            padded = padded[:, : bare.shape[1]]
        # Other shapes of the same products round differently, by far less than attention to padding would move them.
        tolerance = min(1000 * torch.finfo(bare.dtype).eps, 3e-2)
        _indifferent[key] = bool((padded - bare).norm() <= tolerance * bare.norm())
    return _indifferent[key]
