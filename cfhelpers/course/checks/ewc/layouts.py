"""Batches of dialogue, laid out right and in the wrong ways that exercise 3.1 knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Pairs = Sequence[tuple[list[int], list[int]]]
Batch = dict[str, Tensor]


def filled(
    pairs: Pairs, end_id: int, pad_id: int, *, layout: Callable[[list[int], list[int]], Any] | None = None
) -> Batch:
    """Return a batch; ``layout`` may give other ids and labels for a question and its ended answer."""
    layout = layout or (lambda question, reply: (question + reply, [-100] * len(question) + reply))
    rows = [layout(list(question), [*reply, end_id]) for question, reply in pairs]
    longest = max(len(each) for row in rows for each in row)

    def pad(row: list[int], filler: int) -> list[int]:
        return row + [filler] * (longest - len(row))

    return {
        "input_ids": torch.tensor([pad(ids, pad_id) for ids, _ in rows]),
        "attention_mask": torch.tensor([pad([1] * len(ids), 0) for ids, _ in rows]),
        "labels": torch.tensor([pad(labels, -100) for _, labels in rows]),
    }


def changed(change: Callable[[Batch, int, int], Mapping[str, Tensor]]) -> Callable[..., Batch]:
    """Return an answer that spoils a right batch; ``change`` gets the batch, the end's id and the padding's."""

    def imitate(pairs: Pairs, end_id: int, pad_id: int) -> Batch:
        batch = filled(pairs, end_id, pad_id)
        return {**batch, **change(batch, end_id, pad_id)}

    return imitate


def laid_out(layout: Callable[[list[int], list[int]], Any]) -> Callable[..., Batch]:
    """Return an answer that gives every row another layout."""
    return lambda pairs, end_id, pad_id: filled(pairs, end_id, pad_id, layout=layout)


def padded_between(pairs: Pairs, end_id: int, pad_id: int) -> Batch:
    """Return a batch whose questions are padded to one length before the answers follow."""
    longest = max(len(question) for question, _ in pairs)
    rows = [([*question, *[pad_id] * (longest - len(question))], reply) for question, reply in pairs]
    batch = filled(rows, end_id, pad_id)
    for row, (question, _) in enumerate(pairs):
        batch["attention_mask"][row, len(question) : longest] = 0
    return batch


def padded_apart(pairs: Pairs, end_id: int, pad_id: int, *, ended: bool) -> Batch:
    """Return the questions as ids and the answers as labels, each padded to its own longest."""
    questions = filled([(list(question), []) for question, _ in pairs], end_id, pad_id)
    replies = [[*reply, end_id] if ended else list(reply) for _, reply in pairs]
    longest = max(map(len, replies))
    labels = torch.tensor([[*reply, *[-100] * (longest - len(reply))] for reply in replies])
    return {name: questions[name][:, :-1] for name in ("input_ids", "attention_mask")} | {"labels": labels}


def of_one_length(pairs: Pairs, end_id: int, pad_id: int, *, ended: bool, ignored: bool) -> Batch:
    """Return questions and answers padded to one length, with a mask of ones; padding among the labels may be −100."""
    rows = [(list(question), [*reply, end_id] if ended else list(reply)) for question, reply in pairs]
    longest = max(len(part) for row in rows for part in row)

    def padded(part: list[int], filler: int) -> list[int]:
        return [*part, *[filler] * (longest - len(part))]

    ids = torch.tensor([padded(question, pad_id) for question, _ in rows])
    labels = torch.tensor([padded(reply, -100 if ignored else pad_id) for _, reply in rows])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def ended_after_padding(pairs: Pairs, end_id: int, pad_id: int) -> Batch:
    """Return a batch whose rows all end with the end-of-sequence token, behind their padding."""
    batch = filled(pairs, end_id, pad_id)
    lengths = batch["attention_mask"].sum(1)
    for row, length in enumerate(lengths.tolist()):
        batch["input_ids"][row, length - 1] = pad_id if length < int(lengths.max()) else end_id
        batch["labels"][row, length - 1] = -100
        batch["attention_mask"][row, length - 1] = 0
        batch["input_ids"][row, -1] = batch["labels"][row, -1] = end_id
        batch["attention_mask"][row, -1] = 1
    return batch


def widened(batch: Batch, pad_id: int) -> Batch:
    """Return the batch with one more place for padding."""
    fillers = {"input_ids": pad_id, "attention_mask": 0, "labels": -100}
    return {name: nn.functional.pad(tensor, (0, 1), value=fillers[name]) for name, tensor in batch.items()}


def cut_to_the_shortest(pairs: Pairs, end_id: int, pad_id: int) -> Batch:
    """Cut every row to the length of the shortest."""
    batch = filled(pairs, end_id, pad_id)
    return {name: tensor[:, : int(batch["attention_mask"].sum(1).min())] for name, tensor in batch.items()}


def one_more(batch: Batch, pad_id: int) -> Tensor:
    """Return labels with one target too many behind each answer that padding follows."""
    padding = batch["attention_mask"] == 0
    return torch.where(padding & (padding.cumsum(1) == 1), pad_id, batch["labels"])


def shifted(labels: Tensor, by: int) -> Tensor:
    """Return the labels moved by so many places, −100 where nothing came."""
    moved = torch.roll(labels, by, dims=1)
    moved[:, 0 if by > 0 else -1] = -100
    return moved


def right_aligned(labels: Tensor, mask: Tensor) -> Tensor:
    """Return the labels with the padding in front."""
    return labels.gather(1, mask.argsort(dim=1, stable=True))


def flipped(batch: Batch) -> Batch:
    """Return the batch with its padding on the left."""
    order = batch["attention_mask"].argsort(dim=1, stable=True)
    return {name: tensor.gather(1, order) for name, tensor in batch.items()}
