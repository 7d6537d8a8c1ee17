"""Exercise 3.2: the diagonal Fisher information."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cfhelpers.course.checks.ewc.estimates import (
    examples,
    fisher_of,
    own_guess,
    per_example,
    per_example_with,
    per_token,
    summed,
    times,
)
from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, tensors
from cfhelpers.course.checks.toys import ToyLanguageModel, Unharmed, require_evaluation_mode
from cfhelpers.fisher import fisher_diagonal
from cfhelpers.fisher.oracle import fisher_by_hand

Batch = dict[str, Tensor]


# Case: vocabulary and width of the model, lengths of the examples in each batch, length of each batch's questions. An
# example without a question has a label under its first token, which no logits predict.
_CASES = {
    "six examples": ((9, 4), ((3, 6, 4), (6,), (5, 3)), (2, 0, 1)),
    "seven examples": ((7, 3), ((4, 5), (3, 6, 7), (3,), (4,)), (0, 1, 2, 1)),
}


def _language_batches(case: str) -> list[Batch]:
    """Return batches of unequal sizes, padded, with questions that are not targets."""
    (vocabulary, _), sizes, questions = _CASES[case]
    generator = torch.Generator().manual_seed(5)
    batches = []
    for lengths, question in zip(sizes, questions, strict=True):
        ids = torch.randint(0, vocabulary, (len(lengths), max(lengths)), generator=generator)
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).long()
        labels = torch.where(mask == 1, ids, -100)
        labels[:, :question] = -100
        batches.append({"input_ids": torch.where(mask == 1, ids, 0), "attention_mask": mask, "labels": labels})
    return batches


def _examine_fisher(answer: Callable[..., Any]) -> Numbers:
    numbers = {case: _fisher_in(answer, case) for case in _CASES}
    torch.manual_seed(1)  # the first run began with another seed
    case = next(iter(_CASES))
    again = _fisher_in(answer, case)
    if any(
        name in again and not np.allclose(again[name], array, equal_nan=True) for name, array in numbers[case].items()
    ):
        raise CheckFailed(
            "the numbers differ from one run to the next: something is drawn at random. Are the labels drawn from the "
            "model? The empirical Fisher takes the labels of the data."
        )
    return {f"{case}: {name}": array for case in _CASES for name, array in numbers[case].items()}


def _fisher_in(answer: Callable[..., Any], case: str) -> Numbers:
    model, batches = ToyLanguageModel(*_CASES[case][0]).train(), _language_batches(case)
    unharmed = Unharmed(model)
    fisher = answer(model, batches)
    require_evaluation_mode(model.observed)
    unharmed.check()
    numbers = tensors(fisher, "the Fisher")
    for name, tensor in fisher.items():
        if tensor.requires_grad:
            raise CheckFailed(f"{name} still hangs on a graph. Use .grad or .detach(): importances are plain numbers.")
        if tensor.dtype in (torch.float16, torch.bfloat16):
            raise CheckFailed(
                f"{name} is {tensor.dtype}: squares of small gradients vanish in it. Accumulate in float32."
            )
    if "head.weight" in numbers:
        raise CheckFailed(
            "head.weight is listed beside embedding.weight, but it is the same tensor: named_parameters() lists tied "
            "weights once, state_dict() twice."
        )
    if "temperature" in numbers:
        raise CheckFailed("temperature is listed, but it is frozen: leave out parameters whose requires_grad is False.")
    negative = [name for name, array in numbers.items() if (array < 0).any()]
    if negative:
        raise CheckFailed(
            f"{negative[0]} has negative entries, but a mean of squares cannot be negative: a gradient is not squared, "
            "or is weighted with something negative, such as a log-probability."
        )
    return numbers


def _first_rows(model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
    return _fisher(model, [{name: tensor[:1] for name, tensor in batch.items()} for batch in batches])


def _normalised(fisher: dict[str, Tensor], by: Callable[[dict[str, Tensor]], Any]) -> dict[str, Tensor]:
    return {name: tensor / by(fisher) for name, tensor in fisher.items()}


def _mean_of_means(model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
    found = [_fisher(model, [batch]) for batch in batches]
    return {name: torch.stack([each[name] for each in found]).mean(0) for name in found[0]}


def _targets(batches: list[Batch]) -> float:
    return float(sum((batch["labels"][:, 1:] != -100).sum() for batch in batches))


def _fisher(model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
    return fisher_by_hand(model.eval(), examples(batches))


_SQUARE_EACH = "Square each example's gradient, then average over the examples."
_SUM_TOKENS = "An example's log-likelihood is the sum over its targets: model(...).loss is their mean."

fisher = Exercise(
    number="3.2",
    reread="The importance of a weight",
    verified="each example's summed gradient is squared before averaging, without dropout, padding or question tokens",
    reference=_fisher,
    library=lambda model, batches: dict(fisher_diagonal(model, batches, progress=False)),
    examine=_examine_fisher,
    mistakes=[
        Mistake(
            f"you squared the gradient of the whole batch's mean loss. {_SQUARE_EACH}",
            fisher_of(lambda m, bs: (m(**b).loss for b in bs), divisor=len),
        ),
        Mistake(
            f"you squared the gradient of the whole batch's mean loss. {_SQUARE_EACH}",
            fisher_of(lambda m, bs: (m(**b).loss for b in bs)),
        ),
        Mistake(
            f"you squared the gradient of the whole batch's summed loss. {_SQUARE_EACH}",
            fisher_of(lambda m, bs: (summed(m, b) for b in bs)),
        ),
        Mistake(
            f"you squared the gradient of the whole batch's summed loss. {_SQUARE_EACH}",
            fisher_of(lambda m, bs: (summed(m, b) for b in bs), divisor=len),
        ),
        Mistake(
            f"you squared the gradient of the mean over each batch's examples. {_SQUARE_EACH}",
            fisher_of(lambda m, bs: (summed(m, b) / len(b["labels"]) for b in bs), divisor=len),
        ),
        Mistake(
            f"you added up the gradients of all batches and squared once. {_SQUARE_EACH}",
            fisher_of(lambda m, bs: [torch.stack([m(**b).loss for b in bs]).sum()]),
        ),
        Mistake(
            f"you added up all gradients and squared once. {_SQUARE_EACH}",
            fisher_of(lambda m, bs: [torch.stack(list(per_example(m, bs))).sum()]),
        ),
        Mistake(
            f"you averaged all gradients and squared once. {_SQUARE_EACH}",
            fisher_of(lambda m, bs: [torch.stack(list(per_example(m, bs))).mean()], divisor=lambda bs: 1),
        ),
        Mistake(
            "gradients pile up from one example to the next. Call model.zero_grad() before every backward pass.",
            fisher_of(per_example, accumulate=True),
        ),
        Mistake(
            "gradients pile up from one example to the next, and each loss is a mean over tokens. Call "
            f"model.zero_grad() before every backward pass. {_SUM_TOKENS}",
            fisher_of(lambda m, bs: (m(**e).loss for e in examples(bs)), accumulate=True),
        ),
        Mistake(
            f"the loss of each example was averaged over its tokens, so long answers count less. {_SUM_TOKENS}",
            fisher_of(lambda m, bs: (m(**e).loss for e in examples(bs))),
        ),
        Mistake(
            "each example's mean loss was multiplied by the number of its labels, but the first token is never "
            "predicted: count labels[:, 1:] that are not −100.",
            fisher_of(times(lambda e: (e["labels"] != -100).sum())),
        ),
        Mistake(
            "each example's mean loss was multiplied by the number of its tokens, the question's too. It is a mean "
            "over targets: count labels[:, 1:] that are not −100.",
            fisher_of(times(lambda e: e["attention_mask"].sum())),
        ),
        Mistake(
            "each example's mean loss was multiplied by the length of its row, padding included. It is a mean over "
            "targets: count labels[:, 1:] that are not −100.",
            fisher_of(times(lambda e: e["labels"].shape[1])),
        ),
        Mistake(
            "each example's mean loss was multiplied by the length of its row less one, padding included. Count "
            "labels[:, 1:] that are not −100.",
            fisher_of(times(lambda e: e["labels"].shape[1] - 1)),
        ),
        Mistake(
            "each token's gradient was squared by itself. Square the gradient of an example's whole answer: sum the "
            "losses of its tokens first.",
            fisher_of(per_token),
        ),
        Mistake(
            "each token's gradient was squared by itself and averaged over the tokens. Square the gradient of an "
            "example's whole answer: sum the losses of its tokens first, and divide by the number of examples.",
            fisher_of(per_token, divisor=_targets),
        ),
        Mistake(
            "this is the mean over batches of each batch's mean: examples of small batches count more. Add up over all "
            "examples and divide once.",
            _mean_of_means,
        ),
        Mistake(
            "each batch's mean gradient was squared and multiplied by the batch's size: n · g². Squares of sums are no "
            f"sums of squares. {_SQUARE_EACH}",
            fisher_of(lambda m, bs: (m(**b).loss * len(b["labels"]) ** 0.5 for b in bs)),
        ),
        Mistake(
            "each batch's mean gradient was squared and multiplied by the batch's size: n · g². Squares of sums are no "
            f"sums of squares. {_SQUARE_EACH}",
            fisher_of(lambda m, bs: (summed(m, b) / len(b["labels"]) ** 0.5 for b in bs)),
        ),
        Mistake(
            "each example's squared gradient was multiplied by its number of targets. The number belongs inside the "
            "square: multiply the mean loss by it, then differentiate, then square.",
            fisher_of(lambda m, bs: (m(**e).loss * _targets([e]) ** 0.5 for e in examples(bs))),
        ),
        Mistake(
            "only the first batch was looked at: is there a return inside the loop?",
            lambda m, bs: _fisher(m, list(bs)[:1]),
        ),
        Mistake(
            "only the last batch was looked at, or each overwrote the one before (= for +=). Add up over all of them.",
            lambda m, bs: _fisher(m, list(bs)[-1:]),
        ),
        Mistake(
            "only the last example counts: each overwrote the one before (= for +=). Add up over all of them.",
            fisher_of(lambda m, bs: [summed(m, list(examples(bs))[-1])]),
        ),
        Mistake(
            "the question and the padding are in the loss. Only positions whose label is not −100 count.",
            fisher_of(per_example_with(labels=lambda m, e: e["input_ids"])),
        ),
        Mistake(
            "the question is in the loss. Use the batch's labels, which are −100 there.",
            fisher_of(
                per_example_with(labels=lambda m, e: torch.where(e["attention_mask"] == 0, -100, e["input_ids"]))
            ),
        ),
        Mistake(
            "the logits were compared with the labels of the same positions. The logits at t speak of token t + 1.",
            fisher_of(per_example_with(shift=0)),
        ),
        Mistake(
            "the labels are the model's own most probable tokens. The empirical Fisher takes the labels of the data.",
            fisher_of(per_example_with(labels=own_guess)),
        ),
        Mistake(
            "you divided by the number of batches. Divide by the number of examples.",
            fisher_of(per_example, divisor=len),
        ),
        Mistake(
            "you divided by the last index, which is one less than the number of examples.",
            fisher_of(per_example, divisor=lambda bs: len(list(examples(bs))) - 1),
        ),
        Mistake(
            "you divided by one more than the number of examples.",
            fisher_of(per_example, divisor=lambda bs: len(list(examples(bs))) + 1),
        ),
        Mistake(
            "you divided by the last batch's index. Divide by the number of examples.",
            fisher_of(per_example, divisor=lambda bs: len(bs) - 1),
        ),
        Mistake(
            "you divided by the number of target tokens. Divide by the number of examples.",
            fisher_of(per_example, divisor=_targets),
        ),
        Mistake(
            "this is a sum over examples. Divide it by their number.", fisher_of(per_example, divisor=lambda bs: 1)
        ),
        Mistake("the gradients were not squared.", fisher_of(per_example, transform=torch.abs)),
        Mistake(
            "only the first example of each batch was looked at. Go through all of its rows.",
            _first_rows,
        ),
        Mistake(
            "only the last example of each batch was looked at. Go through all of its rows.",
            lambda m, bs: _fisher(m, [{name: x[-1:] for name, x in b.items()} for b in bs]),
        ),
        Mistake(
            "there is a factor ½ too many. It belongs to the penalty.",
            fisher_of(per_example, divisor=lambda bs: 2 * len(list(examples(bs)))),
        ),
        Mistake(
            "you divided by the number of examples twice.",
            fisher_of(per_example, divisor=lambda bs: len(list(examples(bs))) ** 2),
        ),
        Mistake(
            "you divided by the number of batches times the size of the first. Count the examples of every batch.",
            fisher_of(per_example, divisor=lambda bs: len(bs) * len(bs[0]["labels"])),
        ),
        Mistake(
            "you divided by the size of the first batch. Divide by the number of all examples.",
            fisher_of(per_example, divisor=lambda bs: len(bs[0]["labels"])),
        ),
        Mistake(
            "you divided by the size of the last batch. Divide by the number of all examples.",
            fisher_of(per_example, divisor=lambda bs: len(bs[-1]["labels"])),
        ),
        Mistake(
            "the result was divided by its largest entry. An importance keeps its scale: the strength λ is measured in "
            "it.",
            lambda m, bs: _normalised(_fisher(m, bs), lambda f: max(x.max() for x in f.values())),
        ),
        Mistake(
            "the result was divided by its sum. An importance keeps its scale: the strength λ is measured in it.",
            lambda m, bs: _normalised(_fisher(m, bs), lambda f: sum(x.sum() for x in f.values())),
        ),
        Mistake(
            "each tensor was divided by its own largest entry. An importance keeps its scale.",
            lambda m, bs: {name: x / x.max() for name, x in _fisher(m, bs).items()},
        ),
        Mistake(
            "this is the square root of the mean of squares. The Fisher is the mean of squares itself.",
            lambda m, bs: {name: each.sqrt() for name, each in _fisher(m, bs).items()},
        ),
        Mistake("the gradients were squared twice.", fisher_of(per_example, transform=lambda g: g**4)),
        Mistake(
            "the loss was squared, or its gradient multiplied by it. Square the gradient of the loss itself.",
            fisher_of(lambda m, bs: (loss.square() for loss in per_example(m, bs))),
        ),
    ],
)
