"""From a batch as it is laid out to one row for each example: packed rows taken apart, padding on the right.

Whether sequences stand one after the other in a row, or padding stands before a text, says nothing about an example;
but gradients are squared row by row, and a model with learned positions counts from the left end of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

IGNORED = -100
# What collators hand to attention kernels to say where the sequences of a packed row begin.
BOUNDARIES = ("cu_seq_lens_q", "cu_seq_lens_k", "cu_seq_lens", "cu_seqlens", "seq_idx", "seq_lengths")
WITH_BOUNDARIES = ("max_length_q", "max_length_k")
# Columns that number the sequences of a row, token by token.
NUMBERED = ("seq_idx", "document_ids", "doc_ids", "segment_ids", "sequence_ids")


def unpacked(batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a batch with a row for each sequence, if its ``position_ids`` start again within a row.

    Raises:
        ValueError: Rows hold several sequences in a form that cannot be taken apart.
    """
    ids, mask = batch.get("input_ids"), batch.get("attention_mask")
    if ids is None and isinstance(embeds := batch.get("inputs_embeds"), Tensor) and embeds.dim() == 3:
        ids = embeds[..., 0]  # only its shape is looked at
    if isinstance(mask, Tensor) and mask.dim() == 2 and bool((mask > 1).any()):
        raise ValueError(
            "the attention_mask numbers several sequences in one row (it has values above 1). Each sequence is an "
            "example of its own: give every sequence its own row."
        )
    positions = batch.get("position_ids")
    if isinstance(ids, Tensor) and isinstance(positions, Tensor) and positions.shape == ids.shape[1:2]:
        batch = {**batch, "position_ids": positions[None]}  # one row of positions for all
    starts = _starts(ids, batch.get("position_ids"), mask)
    if starts is not None:
        return _taken_apart(batch, starts)
    if isinstance(mask, Tensor) and mask.dim() == 4 and _begins_again(mask):
        raise ValueError(
            "the attention_mask hides the beginning of a row from its end: several sequences in one row, whose "
            "gradients would be added before they are squared. Give position_ids that start again at each sequence, by "
            "which rows are taken apart, or one sequence per row (packing=False)."
        )
    by_token = isinstance(labels := batch.get("labels"), Tensor) and labels.dim() == 2  # not two texts with one class
    for name in (*BOUNDARIES, *(NUMBERED if by_token else ())):
        if batch.get(name) is not None and _says_several(name, torch.as_tensor(batch[name])):
            raise ValueError(
                f"a batch has packed rows, as {name} says: several sequences in one row, whose gradients would be "
                "added before they are squared. Give position_ids that start again at each sequence, by which rows "
                "are taken apart, or one sequence per row (packing=False)."
            )
    return {name: value for name, value in batch.items() if name not in (*BOUNDARIES, *WITH_BOUNDARIES)}


def arranged(tensors: dict[str, Any], *, encoder_decoder: bool) -> dict[str, Any]:
    """Return a batch with its padding on the right and no target under it.

    Args:
        tensors: What a model is called with, ``labels`` included.
        encoder_decoder: Whether labels belong to a sequence of their own.

    Raises:
        ValueError: The padding is on the left, beside a tensor that cannot be moved along with the text.
    """
    found = dict(tensors)
    sides: tuple[tuple[str, bool | None], ...] = (("attention_mask", None),)
    if encoder_decoder:
        sides = ("attention_mask", False), ("decoder_attention_mask", True)
    for name, decoder in sides:
        mask = found.get(name)
        if not isinstance(mask, Tensor) or mask.dim() != 2 or mask.numel() == 0:
            continue
        members = [each for each in found if decoder is None or _is_decoders(each) == decoder]
        if not bool((mask[:, 0] != 0).all()):
            found |= _moved_to_the_left_end({each: found[each] for each in members}, mask)
        labels = found.get("labels")
        if "labels" in members and isinstance(labels, Tensor) and labels.shape == mask.shape:
            found["labels"] = labels.masked_fill(found[name].to(labels.device) == 0, IGNORED)
    return found


def _starts(ids: Any, positions: Any, mask: Any) -> Tensor | None:
    """Where sequences begin within a row, ``[B, T]``; None if every row holds one."""
    if not isinstance(ids, Tensor) or not isinstance(positions, Tensor) or ids.dim() != 2:
        return None
    if positions.dim() != 2 or positions.shape[1] != ids.shape[1] or len(positions) not in (1, len(ids)):
        return None
    positions = positions.expand_as(ids)
    again = torch.zeros_like(ids, dtype=torch.bool)
    again[:, 1:] = positions[:, 1:] <= positions[:, :-1]
    if isinstance(mask, Tensor) and mask.shape == ids.shape:
        real = mask.to(ids.device) != 0
        again[:, 1:] &= real[:, 1:] & real[:, :-1]
    return again if bool(again.any()) else None


def _begins_again(mask: Tensor) -> bool:
    """Whether, by a mask ``[B, heads, T, T]``, two neighbours see themselves but not each other.

    (The masked rows of padding on the left may be opened altogether, for kernels that cannot do with none.)
    """
    seen = mask if mask.dtype == torch.bool else (mask == 0 if mask.is_floating_point() else mask != 0)
    before, itself, after = (seen.diagonal(offset, dim1=-2, dim2=-1) for offset in (-1, 0, 1))
    return bool((itself[..., 1:] & itself[..., :-1] & ~before & ~after).any())


def _taken_apart(batch: Mapping[str, Any], starts: Tensor) -> dict[str, Any]:
    rows, width = starts.shape
    pieces = [(row, *span) for row in range(rows) for span in _spans(starts[row])]
    labels = batch.get("labels")
    if isinstance(labels, Tensor) and labels.shape == starts.shape:  # padding without a mask has positions of 0, too
        pieces = [each for each in pieces if bool((labels[each[0], each[1] : each[2]] != IGNORED).any())] or pieces[:1]
    found: dict[str, Any] = {}
    for name, value in batch.items():
        per_token = isinstance(value, Tensor) and tuple(value.shape) == (rows, width)
        if name in (*BOUNDARIES, *WITH_BOUNDARIES) or (name == "attention_mask" and not per_token):
            continue  # it says which tokens see each other in the packed row
        if isinstance(value, Tensor) and value.dim() >= 2 and value.shape[1] == width:
            value = value.expand(rows, *value.shape[1:])
            parts = [value[row, start:stop] for row, start, stop in pieces]
            found[name] = pad_sequence(parts, True, padding_value=IGNORED if name == "labels" else 0)
        elif isinstance(value, Tensor) and value.dim() > 0 and len(value) == rows:
            raise ValueError(
                f"a batch has packed rows (its position_ids start again), but {name} {tuple(value.shape)} does not say "
                "which of a row's sequences it belongs to. Give every sequence its own row."
            )
        else:
            found[name] = value
    if "attention_mask" not in found:
        lengths = torch.tensor([stop - start for _, start, stop in pieces], device=starts.device)
        found["attention_mask"] = (torch.arange(int(lengths.max()), device=starts.device) < lengths[:, None]).long()
    return found


def _spans(starts: Tensor) -> list[tuple[int, int]]:
    bounds = [0, *starts.nonzero().squeeze(1).tolist(), len(starts)]
    return list(pairwise(bounds))


def _says_several(name: str, value: Tensor) -> bool:
    if name in NUMBERED:
        return bool((value != value.flatten()[0]).any())
    if name == "seq_lengths":
        return value.dim() > 0 and bool(((value > 0).sum(-1) > 1).any())
    return value.numel() > 2


def _is_decoders(name: str) -> bool:
    return name == "labels" or name.startswith("decoder_")


def _moved_to_the_left_end(tensors: dict[str, Any], mask: Tensor) -> dict[str, Any]:
    """Turn every row round until its text begins at the left end, and all tensors by token with it."""
    rows, width = mask.shape
    first = (mask != 0).int().argmax(1)
    order = (torch.arange(width, device=mask.device)[None] + first[:, None]) % width
    found = {}
    for name, value in tensors.items():
        if not isinstance(value, Tensor) or value.dim() < 2:
            continue
        if value.shape[1] == width and len(value) in (1, rows):
            place = torch.arange(rows, device=value.device)[:, None]
            found[name] = value.expand(rows, *value.shape[1:])[place, order.to(value.device)]
        elif width in value.shape[1:] and len(value) in (1, rows):
            raise ValueError(
                f"the batch is padded on the left, and {name} {tuple(value.shape)} cannot be moved along with the "
                "text to where positions are counted from. Pad on the right (tokenizer.padding_side = 'right')."
            )
    return found
