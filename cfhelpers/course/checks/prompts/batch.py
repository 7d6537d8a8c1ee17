"""Exercise 6.1: a batch behind a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, tensors
from cfhelpers.models.soft_prompt import first_real, insert

Batch = dict[str, Tensor]
_NAMES = ("inputs_embeds", "attention_mask", "position_ids", "labels")


def _cases() -> dict[str, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Padding on either side and none, every size another; of the labels the question is −100, as in training."""
    generator = torch.Generator().manual_seed(61)

    def case(lengths: list[int], side: str, width: int, prompt: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        longest = max(lengths)
        mask = torch.tensor([[1] * length + [0] * (longest - length) for length in lengths])
        labels = torch.tensor([[-100, *range(2, length + 1)] + [-100] * (longest - length) for length in lengths])
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


behind_prompt = Exercise(
    number="6.1",
    reread="A prompt that is no text",
    verified="prompt, mask, positions and targets are right with padding on either side, and the prompt can learn",
    reference=_right,
    library=_library,
    examine=_examine,
    mistakes=[
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
            "the prompt stands after the first token of the text. In a causal model it goes before all of it.",
            _at(lambda mask: first_real(mask) + 1),
        ),
        Mistake(
            "the attention mask is 0 on the prompt, so that nothing attends to it. Put ones there.",
            _changed(
                lambda batch, mask, prompt: {
                    "attention_mask": insert(mask, mask.new_zeros(len(prompt)), first_real(mask))
                }
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
            "the labels are shifted by hand. The model shifts them itself.",
            _changed(lambda batch, mask, prompt: {"labels": batch["labels"].roll(-1, dims=1)}),
            part="labels",
        ),
    ],
)
