"""Exercise 3.1: a batch of dialogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, tensors

Pairs = Sequence[tuple[list[int], list[int]]]
Batch = dict[str, Tensor]

_END = 50
# Questions and answers of unequal lengths, so that no two mistakes give the same labels.
_PAIRS = [([11, 12, 13], [21, 22]), ([14, 15, 16, 17], [23, 24, 25]), ([18], [26])]


def _examine_batch(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case, padding in (("padding is the end-of-sequence token", _END), ("padding is a token of its own", 0)):
        pairs = [(list(question), list(reply)) for question, reply in _PAIRS]
        batch = answer(pairs, _END, padding)
        if pairs != _PAIRS:
            raise CheckFailed(
                "your code changed the lists it was given: question += answer does. Write question + answer."
            )
        if isinstance(batch, Mapping):
            for name in ("input_ids", "labels"):
                if isinstance(batch.get(name), Tensor) and batch[name].is_floating_point():
                    raise CheckFailed(f"{name} holds floating-point numbers; token ids are whole numbers (torch.long).")
        arrays = tensors(batch, "the batch")
        numbers |= {f"{case}: {name}": array for name, array in arrays.items()}
    return numbers


def _batch(
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


def _changed(change: Callable[[Batch, int, int], Mapping[str, Tensor]]) -> Callable[..., Batch]:
    """Return an answer that spoils a right batch; ``change`` gets the batch, the end's id and the padding's."""

    def imitate(pairs: Pairs, end_id: int, pad_id: int) -> Batch:
        batch = _batch(pairs, end_id, pad_id)
        return {**batch, **change(batch, end_id, pad_id)}

    return imitate


def _laid_out(layout: Callable[[list[int], list[int]], Any]) -> Callable[..., Batch]:
    return lambda pairs, end_id, pad_id: _batch(pairs, end_id, pad_id, layout=layout)


def _shifted(labels: Tensor, by: int) -> Tensor:
    moved = torch.roll(labels, by, dims=1)
    moved[:, 0 if by > 0 else -1] = -100
    return moved


def _flipped(batch: Batch) -> Batch:
    """Return the batch with its padding on the left."""
    order = batch["attention_mask"].argsort(dim=1, stable=True)
    return {name: tensor.gather(1, order) for name, tensor in batch.items()}


_EVERYTHING_IS_TARGET = "the question's tokens are targets too: the model learns to ask. Their labels are −100."
_PADDING_IS_TARGET = "padding is a target: its label is the padding token. Its label is −100."

dialogue_batch = Exercise(
    number="3.1",
    reread="One sequence, and a loss on the answer",
    verified="question and answer are one sequence, only the answer and its end are targets, padding is neither",
    reference=_batch,
    library=_batch,
    examine=_examine_batch,
    mistakes=[
        Mistake(
            "question and answer are two sequences of one length, so that the answer's words are set against the "
            "question's positions. Write them one after the other in one sequence.",
            _laid_out(lambda question, reply: (question, reply)),
        ),
        Mistake(
            "question and answer are two sequences of one length. Write them one after the other in one sequence.",
            _laid_out(lambda question, reply: (question, reply[:-1])),
        ),
        Mistake(_EVERYTHING_IS_TARGET, _laid_out(lambda question, reply: (question + reply, question + reply))),
        Mistake(
            f"{_EVERYTHING_IS_TARGET} So are those of padding.",
            _changed(lambda b, end, pad: {"labels": b["input_ids"].clone()}),
        ),
        Mistake(
            _PADDING_IS_TARGET,
            _changed(lambda b, end, pad: {"labels": torch.where(b["attention_mask"] == 0, pad, b["labels"])}),
        ),
        Mistake(
            "the end-of-sequence token of every answer is missing, so the model never learns to stop. Append end_id.",
            _laid_out(lambda question, reply: (question + reply[:-1], [-100] * len(question) + reply[:-1])),
        ),
        Mistake(
            "the answer's end-of-sequence token is not a target, so the model never learns to stop. Was every "
            "padding id "
            "masked? The padding may be the same token: mask by length.",
            _changed(lambda b, end, pad: {"labels": torch.where(b["labels"] == pad, -100, b["labels"])}),
        ),
        Mistake(
            "the answer's end-of-sequence token is not a target, so the model never learns to stop. Keep its label.",
            _laid_out(lambda question, reply: (question + reply, [-100] * len(question) + [*reply[:-1], -100])),
        ),
        Mistake(
            "the answer's end-of-sequence token is hidden by the attention mask or by −100. The padding may be "
            "the same "
            "token: make the mask from the length, not by comparing ids.",
            _changed(
                lambda b, end, pad: {
                    "attention_mask": (b["input_ids"] != pad).long(),
                    "labels": torch.where(b["labels"] == pad, -100, b["labels"]),
                }
            ),
        ),
        Mistake(
            "the attention mask hides the end-of-sequence token. The padding may be the same token: make the mask "
            "from "
            "the length, not by comparing ids.",
            _changed(lambda b, end, pad: {"attention_mask": (b["input_ids"] != pad).long()}),
        ),
        Mistake(
            "the attention mask is 1 on padding. It is 0 there.",
            _changed(lambda b, end, pad: {"attention_mask": torch.ones_like(b["attention_mask"])}),
        ),
        Mistake(
            "the labels are shifted to the left. The model shifts them itself: leave them under their own tokens.",
            _changed(lambda b, end, pad: {"labels": _shifted(b["labels"], -1)}),
        ),
        Mistake(
            "the labels are shifted to the right. The model shifts them itself: leave them under their own tokens.",
            _changed(lambda b, end, pad: {"labels": _shifted(b["labels"], 1)}),
        ),
        Mistake(
            "the question is the target and the answer is masked. It is the other way round.",
            _laid_out(lambda question, reply: (question + reply, question + [-100] * len(reply))),
        ),
        Mistake(
            "what is no target has the label of the padding token. The loss leaves out −100 and nothing else.",
            _changed(lambda b, end, pad: {"labels": torch.where(b["labels"] == -100, pad, b["labels"])}),
        ),
        Mistake(
            "what is no target has the label 0, which is a token. The loss leaves out −100 and nothing else.",
            _changed(lambda b, end, pad: {"labels": torch.where(b["labels"] == -100, 0, b["labels"])}),
        ),
        Mistake(
            "the padding is on the left. This model counts its positions from the left: pad at the right end.",
            lambda pairs, end_id, pad_id: _flipped(_batch(pairs, end_id, pad_id)),
        ),
        Mistake(
            "there is an end-of-sequence token between question and answer. It belongs after the answer alone.",
            _laid_out(lambda question, reply: ([*question, reply[-1], *reply], [-100] * (len(question) + 1) + reply)),
        ),
    ],
)
