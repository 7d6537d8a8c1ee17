"""Exercise 6.1: a batch behind a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, tensors
from cfhelpers.models.soft_prompt import first_real, insert

Batch = dict[str, Tensor]
_NAMES = ("inputs_embeds", "attention_mask", "position_ids", "labels")


def _cases() -> dict[str, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Padding on either side and none, every size another; labels of a question are −100, but not every row has one."""
    generator = torch.Generator().manual_seed(61)

    def case(lengths: list[int], side: str, width: int, prompt: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        longest = max(lengths)
        mask = torch.tensor([[1] * length + [0] * (longest - length) for length in lengths])
        labels = torch.tensor([[-100, *range(2, length + 1)] + [-100] * (longest - length) for length in lengths])
        labels[-1, 0] = 1  # the prompt in front of it predicts this one
        if side == "left":
            mask, labels = (
                torch.stack([row.roll(longest - length) for row, length in zip(rows, lengths, strict=True)])
                for rows in (mask, labels)
            )
        embedded = torch.randn(len(lengths), longest, width, generator=generator)
        return embedded, mask, labels, torch.randn(prompt, width, generator=generator)

    return {
        "no padding": case([4, 4], "right", 3, 2),
        "padding on the right": case([5, 2, 3], "right", 4, 3),
        "padding on the left": case([2, 6], "left", 5, 4),
    }


def _examine(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case, (embedded, mask, labels, prompt) in _cases().items():
        vectors = prompt.clone().requires_grad_()
        given = (embedded.clone(), mask.clone(), labels.clone(), vectors)
        batch = answer(*given)
        if any(not torch.equal(a, b) for a, b in zip(given, (embedded, mask, labels, prompt), strict=True)):
            raise CheckFailed("your code changed the tensors it was given. Build new ones with torch.cat.")
        arrays = tensors(batch, "the batch")
        for name in set(_NAMES[1:]) & batch.keys():
            if batch[name].is_floating_point():
                raise CheckFailed(f"{name} holds floating-point numbers; it must hold whole ones (torch.long).")
        whole = _right(*given)
        real = whole["attention_mask"].numpy()
        for name in ("inputs_embeds", "position_ids"):  # what stands on padding, nothing reads
            if name in arrays and arrays[name].shape[:2] == real.shape and arrays[name].ndim == whole[name].dim():
                arrays[name] = arrays[name] * (real[..., None] if arrays[name].ndim == 3 else real)
        if arrays.get("inputs_embeds") is not None and arrays["inputs_embeds"].shape == whole["inputs_embeds"].shape:
            _check_graph(batch["inputs_embeds"], vectors)
        numbers |= {f"{case}: {name}": array for name, array in arrays.items()}
    return numbers


def _check_graph(embedded: Tensor, vectors: Tensor) -> None:
    if not embedded.requires_grad or torch.autograd.grad(embedded.sum(), vectors, allow_unused=True)[0] is None:
        raise CheckFailed(
            "no gradient reaches the prompt, so it would never learn. Was it detached, copied with torch.tensor(…), "
            "taken under no_grad(), or left out? Put the prompt itself into torch.cat; expand keeps its graph."
        )


def _right(embedded: Tensor, mask: Tensor, labels: Tensor, prompt: Tensor) -> Batch:
    """Insert the prompt row by row at the first real token, in plain loops."""
    rows: dict[str, list[Tensor]] = {name: [] for name in _NAMES}
    for row in range(len(mask)):
        start = mask[row].tolist().index(1)
        ones, ignored = torch.ones(len(prompt), dtype=torch.long), torch.full((len(prompt),), -100)
        whole = torch.cat([mask[row, :start], ones, mask[row, start:]])
        rows["inputs_embeds"].append(torch.cat([embedded[row, :start], prompt, embedded[row, start:]]))
        rows["attention_mask"].append(whole)
        rows["position_ids"].append((whole.cumsum(0) - 1).clamp(min=0))
        rows["labels"].append(torch.cat([labels[row, :start], ignored, labels[row, start:]]))
    return {name: torch.stack(tensors) for name, tensors in rows.items()}


def _library(embedded: Tensor, mask: Tensor, labels: Tensor, prompt: Tensor) -> Batch:
    starts, count = first_real(mask), len(prompt)
    whole = insert(mask, mask.new_ones(count), starts)
    return {
        "inputs_embeds": insert(embedded, prompt, starts),
        "attention_mask": whole,
        "position_ids": (whole.cumsum(dim=1) - 1).clamp(min=0),
        "labels": insert(labels, labels.new_full((count,), -100), starts),
    }


def _changed(change: Callable[..., Mapping[str, Tensor]]) -> Callable[..., Batch]:
    """Return an answer that spoils a right batch; ``change`` gets it, the mask as given and the prompt."""

    def imitate(embedded: Tensor, mask: Tensor, labels: Tensor, prompt: Tensor) -> Batch:
        batch = _right(embedded, mask, labels, prompt)
        return {**batch, **change(batch, mask, prompt)}

    return imitate


def _at(place: Callable[[Tensor], Tensor]) -> Callable[..., Batch]:
    """Return an answer that inserts at other places."""

    def imitate(embedded: Tensor, mask: Tensor, labels: Tensor, prompt: Tensor) -> Batch:
        starts, count = place(mask), len(prompt)
        whole = insert(mask, mask.new_ones(count), starts)
        return {
            "inputs_embeds": insert(embedded, prompt, starts),
            "attention_mask": whole,
            "position_ids": (whole.cumsum(dim=1) - 1).clamp(min=0),
            "labels": insert(labels, labels.new_full((count,), -100), starts),
        }

    return imitate


def _labelled(filler: int) -> Callable[..., Batch]:
    def imitate(embedded: Tensor, mask: Tensor, labels: Tensor, prompt: Tensor) -> Batch:
        batch = _right(embedded, mask, labels, prompt)
        batch["labels"] = insert(labels, labels.new_full((len(prompt),), filler), first_real(mask))
        return batch

    return imitate


def _labels_behind(embedded: Tensor, mask: Tensor, labels: Tensor, prompt: Tensor) -> Batch:
    batch = _right(embedded, mask, labels, prompt)
    behind = labels.new_full((len(labels), len(prompt)), -100)
    return {**batch, "labels": torch.cat([labels, behind], dim=1)}


def _own_positions(batch: Batch, mask: Tensor, prompt: Tensor) -> Mapping[str, Tensor]:
    starts = first_real(mask)
    text = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return {"position_ids": insert(text, torch.arange(len(prompt)), starts)}


def _no_positions_for_the_prompt(batch: Batch, mask: Tensor, prompt: Tensor) -> Mapping[str, Tensor]:
    text = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return {"position_ids": insert(text, torch.zeros(len(prompt), dtype=torch.long), first_real(mask))}


def _prompt_counted_last(batch: Batch, mask: Tensor, prompt: Tensor) -> Mapping[str, Tensor]:
    text = (mask.cumsum(dim=1) - 1).clamp(min=0)
    rows = [
        insert(row[None], int(each.sum()) + torch.arange(len(prompt)), first_real(each[None]))
        for row, each in zip(text, mask, strict=True)
    ]
    return {"position_ids": torch.cat(rows)}


def _labels_overwritten(embedded: Tensor, mask: Tensor, labels: Tensor, prompt: Tensor) -> Batch:
    batch = _right(embedded, mask, labels, prompt)
    for row, start in enumerate(first_real(mask).tolist()):
        batch["labels"][row, start + len(prompt) : start + 2 * len(prompt)] = -100
    return batch


def _before_everything(mask: int) -> Callable[..., Batch]:
    """Return an answer that puts the prompt before the padding, with this mask, and counts all positions."""

    def imitate(embedded: Tensor, given: Tensor, labels: Tensor, prompt: Tensor) -> Batch:
        rows, count = len(given), len(prompt)
        whole = torch.cat([given.new_full((rows, count), mask), given], dim=1)
        return {
            "inputs_embeds": torch.cat([prompt.expand(rows, -1, -1), embedded], dim=1),
            "attention_mask": whole,
            "position_ids": torch.arange(whole.shape[1]).expand_as(whole),
            "labels": torch.cat([labels.new_full((rows, count), -100), labels], dim=1),
        }

    return imitate


_MISTAKES = (
    Mistake(
        "the prompt stands before the padding, its mask is 0, and the positions count all. Put it between the "
        "padding and the text, with mask 1: [padding] [prompt] [text].",
        _before_everything(mask=0),
    ),
    Mistake(
        "the prompt stands before the padding, and the positions count the padding. Put it between the padding and "
        "the text, and cumulate the extended mask.",
        _before_everything(mask=1),
    ),
    Mistake(
        "the prompt stands before the padding, so that it is further from a short text than from a long one. Put "
        "it between the padding and the text: [padding] [prompt] [text].",
        _at(lambda mask: torch.zeros(len(mask), dtype=torch.long)),
    ),
    Mistake(
        "the prompt stands behind the text. A causal model reads from the left: there it would change nothing.",
        _at(lambda mask: torch.full((len(mask),), mask.shape[1])),
    ),
    Mistake(
        "the prompt stands behind each text. A causal model reads from the left: there it would change nothing.",
        _at(lambda mask: first_real(mask) + mask.sum(1)),
    ),
    Mistake(
        "the prompt stands where the mask has its first 0, if there is one. argmax finds the first 1, where the "
        "text begins.",
        _at(lambda mask: mask.argmin(1)),
    ),
    Mistake(
        "the prompt stands after the first token of the text. In a causal model it goes before all of it.",
        _at(lambda mask: first_real(mask) + 1),
    ),
    Mistake(
        "the attention mask is 0 on the prompt, so that nothing attends to it. Put ones there.",
        _changed(
            lambda batch, mask, prompt: {"attention_mask": insert(mask, mask.new_zeros(len(prompt)), first_real(mask))}
        ),
        part="attention_mask",
    ),
    Mistake(
        "the attention mask is 1 everywhere, padding included. Extend the mask that was given.",
        _changed(lambda batch, mask, prompt: {"attention_mask": torch.ones_like(batch["attention_mask"])}),
        part="attention_mask",
    ),
    Mistake(
        "the positions count the padding. The first real position is 0: (mask.cumsum(1) − 1) of the extended mask.",
        _changed(
            lambda batch, mask, prompt: {
                "position_ids": torch.arange(batch["labels"].shape[1]).expand_as(batch["labels"])
            }
        ),
        part="position_ids",
    ),
    Mistake(
        "the positions begin at 1. The first real position is 0: subtract 1 from the cumulated mask.",
        _changed(lambda batch, mask, prompt: {"position_ids": batch["attention_mask"].cumsum(dim=1)}),
        part="position_ids",
    ),
    Mistake(
        "the text's positions begin again at 0 behind the prompt, so that two things stand at one place. Count on.",
        _changed(_own_positions),
        part="position_ids",
    ),
    Mistake(
        "the prompt's labels are 0, which is a token: the model learns to predict it there. Use −100.",
        _labelled(0),
        part="labels",
    ),
    Mistake(
        "the prompt's labels are −1. Losses of transformers leave out −100 and nothing else.",
        _labelled(-1),
        part="labels",
    ),
    Mistake("the prompt's labels are 1, which is a token. Use −100.", _labelled(1), part="labels"),
    Mistake(
        "the labels were filled up behind the text, so that each target is aligned with the wrong position. Fill "
        "up where the prompt stands.",
        _labels_behind,
        part="labels",
    ),
    Mistake(
        "the prompt's vectors are in the wrong order: its first one stands first.",
        lambda embedded, mask, labels, prompt: _right(embedded, mask, labels, prompt.flip(0)),
        part="inputs_embeds",
    ),
    Mistake(
        "the prompt's vectors are zeros: insert the prompt itself.",
        lambda embedded, mask, labels, prompt: _right(embedded, mask, labels, 0 * prompt),
        part="inputs_embeds",
    ),
    Mistake(
        "every vector of the prompt is its first one. Insert all of them.",
        lambda embedded, mask, labels, prompt: _right(embedded, mask, labels, prompt[:1].expand_as(prompt)),
        part="inputs_embeds",
    ),
    Mistake(
        "every vector of the prompt is their mean. Insert all of them as they are.",
        lambda embedded, mask, labels, prompt: _right(
            embedded, mask, labels, prompt.mean(0, keepdim=True).expand_as(prompt)
        ),
        part="inputs_embeds",
    ),
    Mistake(
        "the positions are those of the text alone, with zeros for the prompt: two things stand at one place. "
        "Count on from the prompt.",
        _changed(_no_positions_for_the_prompt),
        part="position_ids",
    ),
    Mistake(
        "the text counts from 0 and the prompt from behind it. The prompt comes first: 0 is its first vector.",
        _changed(_prompt_counted_last),
        part="position_ids",
    ),
    Mistake(
        "the attention mask stands one place too far to the right. It is the given mask "
        "with ones where the prompt was put in.",
        _changed(lambda batch, mask, prompt: {"attention_mask": batch["attention_mask"].roll(1, dims=1)}),
        part="attention_mask",
    ),
    Mistake(
        "the attention mask is turned round: 1 on what is read, 0 on padding.",
        _changed(lambda batch, mask, prompt: {"attention_mask": 1 - batch["attention_mask"]}),
        part="attention_mask",
    ),
    Mistake(
        "every label is −100, so that nothing is learned. Only the prompt's are; the text keeps its labels.",
        _changed(lambda batch, mask, prompt: {"labels": torch.full_like(batch["labels"], -100)}),
        part="labels",
    ),
    Mistake(
        "the first labels of the text were written over with −100: the prompt's come in addition to them.",
        _labels_overwritten,
        part="labels",
    ),
    Mistake(
        "the attention mask's ones for the prompt stand at the left end of the row, before the padding, not where "
        "the prompt is.",
        lambda embedded, mask, labels, prompt: {
            **_right(embedded, mask, labels, prompt),
            "attention_mask": torch.cat([mask.new_ones(len(mask), len(prompt)), mask], dim=1),
        },
        part="attention_mask",
    ),
    Mistake(
        "the labels are shifted by hand. The model shifts them itself.",
        _changed(lambda batch, mask, prompt: {"labels": batch["labels"].roll(-1, dims=1)}),
        part="labels",
    ),
)

behind_prompt = Exercise(
    number="6.1",
    reread="A prompt that is no text",
    verified="prompt, mask, positions and targets are right with padding on either side, and the prompt can learn",
    reference=_right,
    library=_library,
    examine=_examine,
    # Where the prompt itself stands wrong, the other parts follow it.
    mistakes=[
        replace(each, assumes="inputs_embeds") if each.part not in ("", "inputs_embeds") else each for each in _MISTAKES
    ],
)
