"""Exercise 4.4: one penalty per optimizer step, however many micro-batches it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers
from cfhelpers.course.checks.toys import ToyLanguageModel
from cfhelpers.methods.penalty import QuadraticPenalty

Batch = dict[str, Tensor]

# Case: micro-batches, texts in each, tokens of a text, λ, and what a batch has beside its texts. No two of these counts
# go together in both cases, so that a number written in the code is not taken for one of them.
_CASES = {
    "three micro-batches": (3, 5, 6, 0.3, ("labels",)),
    "five micro-batches": (5, 3, 3, 1.7, ("labels", "attention_mask")),
}


class _Watched(QuadraticPenalty):
    """A penalty that notices whether anything flows back from what it gave."""

    def __init__(self, *inputs: Any) -> None:
        super().__init__(*inputs)
        self.asked, self.flowed = 0, 0

    def value(self, model: nn.Module) -> Tensor:
        value = super().value(model)
        self.asked += 1
        if value.requires_grad:
            value.register_hook(self._count)
        return value

    def _count(self, gradient: Tensor) -> None:
        self.flowed += 1

    def add_gradient_(self, *inputs: Any, **settings: Any) -> None:
        self.flowed += 1
        super().add_gradient_(*inputs, **settings)


def _setting(case: str) -> tuple[ToyLanguageModel, list[Batch], _Watched]:
    """A model that has moved away from its anchor and still has the last step's gradients; equally long texts."""
    micro_batches, sequences, tokens, strength, others = _CASES[case]
    generator = torch.Generator().manual_seed(31)
    model = ToyLanguageModel().train()
    model.dropout.p = 0.0  # in training mode, and yet the same every time
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    importance = {name: 0.2 + torch.rand(each.shape, generator=generator) for name, each in trainable.items()}
    penalty = _Watched(importance, model, strength)
    with torch.no_grad():
        for parameter in trainable.values():
            parameter += torch.randn(parameter.shape, generator=generator) / 2
    for parameter in trainable.values():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    texts = [torch.randint(9, (sequences, tokens), generator=generator) for _ in range(micro_batches)]
    beside = [{"labels": ids, "attention_mask": torch.ones_like(ids)} for ids in texts]
    batches = [{"input_ids": x, **{name: y[name] for name in others}} for x, y in zip(texts, beside, strict=True)]
    return model, batches, penalty


def _examine(answer: Callable[..., Any]) -> Numbers:
    return {f"{case}: {name}": array for case in _CASES for name, array in _gradients_in(answer, case).items()}


def _gradients_in(answer: Callable[..., Any], case: str) -> Numbers:
    model, batches, penalty = _setting(case)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    answer(model, list(batches), penalty)
    if not model.training or not all(each["training"] for each in model.observed):
        raise CheckFailed(
            "your code switched the model to evaluation mode: a training step has dropout. Leave model.eval() out."
        )
    if penalty.asked and not penalty.flowed:
        raise CheckFailed(
            "the penalty was asked for its value, but no gradient flows back from it. Is it a plain number (.item(), "
            "float, .detach(), torch.no_grad()), or is backward() missing?"
        )
    gradients = {}
    for name, parameter in model.named_parameters():
        if not torch.equal(parameter.detach(), before[name]):
            raise CheckFailed(f"your code changed {name}. Only fill .grad here; the optimizer takes the step.")
        if parameter.requires_grad != (name in penalty.importance):
            raise CheckFailed(f"your code changed requires_grad of {name}.")
        if parameter.requires_grad:
            if parameter.grad is None:
                raise CheckFailed(
                    f"{name} has no gradient. Leave the sum in .grad: call backward(), and zero_grad() only before "
                    "the first micro-batch."
                )
            gradients[f"gradient of {name}"] = parameter.grad.double().numpy()
    return gradients


def _reference(model: nn.Module, micro_batches: list[Batch], penalty: QuadraticPenalty) -> None:
    model.zero_grad()
    for batch in micro_batches:
        (model(**batch).loss / len(micro_batches)).backward()
    penalty.value(model).backward()


def _library(model: nn.Module, micro_batches: list[Batch], penalty: QuadraticPenalty) -> None:
    model.zero_grad()
    for batch in micro_batches:
        (model(**batch).loss / len(micro_batches)).backward()
    penalty.add_gradient_(model)


def _mixed(
    loss: Callable[[int, int], float] | float, penalty: Callable[[int, float], float] | float, *, stale: bool = False
) -> Callable[[nn.Module, list[Batch], QuadraticPenalty], None]:
    """Weigh each micro-batch's loss, by its number and how many there are, and the penalty in other ways.

    Args:
        loss: Weight of the loss of micro-batch i of k.
        penalty: Weight of the penalty, perhaps by the number of micro-batches and λ.
        stale: Keep what the step before left behind.
    """
    weight = cast("Callable[[int, int], float]", loss if callable(loss) else lambda i, k: loss)

    def answer(model: nn.Module, micro_batches: list[Batch], spring: QuadraticPenalty) -> None:
        if not stale:
            model.zero_grad()
        for i, batch in enumerate(micro_batches):
            (weight(i, len(micro_batches)) * model(**batch).loss).backward()
        if share := penalty(len(micro_batches), spring.strength) if callable(penalty) else penalty:
            (share * spring.value(model)).backward()

    return answer


def _once_each(k: int, strength: float) -> float:
    return k


def _shared(k: int, strength: float) -> float:
    return 1 / k


def _by_texts(model: nn.Module, micro_batches: list[Batch], penalty: QuadraticPenalty) -> None:
    texts = sum(len(batch["input_ids"]) for batch in micro_batches)
    _mixed(1 / texts, 1.0)(model, micro_batches, penalty)


def _by_texts_of_each(model: nn.Module, micro_batches: list[Batch], penalty: QuadraticPenalty) -> None:
    _mixed(lambda i, k: 1 / len(micro_batches[i]["input_ids"]), 1.0)(model, micro_batches, penalty)


def _by_entries(model: nn.Module, micro_batches: list[Batch], penalty: QuadraticPenalty) -> None:
    _mixed(lambda i, k: 1 / len(micro_batches[i]), 1.0)(model, micro_batches, penalty)


def _clipped(model: nn.Module, micro_batches: list[Batch], penalty: QuadraticPenalty) -> None:
    _reference(model, micro_batches, penalty)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)


def _mean(i: int, k: int) -> float:
    return 1 / k


def _last(i: int, k: int) -> float:
    return float(i == k - 1)


_EVERY = (
    "the penalty pulls as many times too hard as there are micro-batches: it is added in every round of the loop, or "
    "multiplied by their number"
)
_ZEROED = (
    "only the last micro-batch's gradient is left: zero_grad() stands inside the loop, backward() after it, or .grad "
    "is overwritten"
)

gradient_of_step = Exercise(
    number="4.4",
    reread="One penalty per step",
    verified="losses are averaged over the micro-batches, the penalty is added once, and nothing old is left in .grad",
    reference=_reference,
    library=_library,
    examine=_examine,
    mistakes=[
        Mistake(f"{_EVERY}. Add it once, after the loop.", _mixed(_mean, _once_each)),
        Mistake(
            "your code left every .grad as it was. Call backward() on the losses and on the penalty.",
            _mixed(0.0, 0.0, stale=True),
        ),
        Mistake(
            f"{_EVERY}; and the losses are added up, not averaged. Divide each loss by the number of micro-batches, "
            "and add the penalty once.",
            _mixed(1.0, _once_each),
        ),
        Mistake(
            "the losses are added up, not averaged, so the penalty is too weak beside them: λ would mean something "
            "else for each number of micro-batches. Divide each loss by their number.",
            _mixed(1.0, 1.0),
        ),
        Mistake(
            "in the end the penalty is divided by the number of micro-batches. Only the losses are averaged: it is "
            "added once, as it is.",
            _mixed(_mean, _shared),
        ),
        Mistake(
            "the penalty is missing. Is there a zero_grad() after it, or is it not asked for at all?",
            _mixed(_mean, 0.0),
        ),
        Mistake(
            "the penalty is missing, and the losses are added up, not averaged.",
            _mixed(1.0, 0.0),
        ),
        Mistake("the penalty has the wrong sign: it pushes away from the anchor.", _mixed(_mean, -1.0)),
        Mistake(
            "the penalty is multiplied by its strength λ again. penalty.value(model) contains it already.",
            _mixed(_mean, lambda k, strength: strength),
        ),
        Mistake(
            "the penalty is multiplied by λ again and divided by the number of micro-batches. Add penalty.value(model) "
            "once, as it is.",
            _mixed(_mean, lambda k, strength: strength / k),
        ),
        Mistake(
            "the losses are added up, not averaged, and the penalty is divided by their number. It is the losses that "
            "are averaged.",
            _mixed(1.0, _shared),
        ),
        Mistake("the losses have the wrong sign.", _mixed(lambda i, k: -1 / k, 1.0)),
        Mistake("the penalty is doubled. penalty.value(model) is as it should be: add it once.", _mixed(_mean, 2.0)),
        Mistake("the penalty is halved again. penalty.value(model) contains the ½ already.", _mixed(_mean, 0.5)),
        Mistake(
            "the step before is still in there: gradients add up until zero_grad(). Call it once, at the beginning.",
            _mixed(_mean, 1.0, stale=True),
        ),
        Mistake(
            f"the step before is still in there, for want of zero_grad() at the beginning; and {_EVERY}.",
            _mixed(_mean, _once_each, stale=True),
        ),
        Mistake(
            f"{_ZEROED}. Zero once before the loop, and call backward() in it.",
            _mixed(lambda i, k: _last(i, k) / k, 1.0),
        ),
        Mistake(
            f"{_ZEROED}; and that one is not divided by their number either.",
            _mixed(_last, 1.0),
        ),
        Mistake(
            f"{_ZEROED}; and the last penalty is divided by their number.",
            _mixed(lambda i, k: _last(i, k) / k, _shared),
        ),
        Mistake(
            "only the first micro-batch counts. Is there a return inside the loop?",
            _mixed(lambda i, k: float(i == 0) / k, 1.0),
        ),
        Mistake(
            "only the penalty is left: zero_grad() after the loop threw the losses' gradients away.", _mixed(0.0, 1.0)
        ),
        Mistake(
            "the losses are divided by the number of micro-batches twice. Once is enough.",
            _mixed(lambda i, k: 1 / k**2, 1.0),
        ),
        Mistake(
            "the sum of the losses and the penalty is divided twice by the number of micro-batches.",
            _mixed(lambda i, k: 1 / k**2, _shared),
        ),
        Mistake(
            "the first micro-batch is left out. Go through all of them.",
            _mixed(lambda i, k: float(i > 0) / k, 1.0),
        ),
        Mistake(
            "the last micro-batch is left out. Go through all of them.",
            _mixed(lambda i, k: float(i < k - 1) / k, 1.0),
        ),
        Mistake(
            "the first micro-batch's loss stands for all of them, undivided. Average over all.",
            _mixed(lambda i, k: float(i == 0), 1.0),
        ),
        Mistake(
            "the mean is halved at every step, (mean + loss) / 2, so that the last micro-batch counts most. Add up, "
            "and divide each loss by their number.",
            _mixed(lambda i, k: 0.5 ** (k - i), 1.0),
        ),
        Mistake(
            "the losses are missing: backward() is called on the penalty alone, and what the step before left is still "
            "there.",
            _mixed(0.0, 1.0, stale=True),
        ),
        Mistake(
            "the step before is still in there, for want of zero_grad() at the beginning; and the losses are added up, "
            "not averaged.",
            _mixed(1.0, 1.0, stale=True),
        ),
        Mistake(
            "the step before is still in there, for want of zero_grad() at the beginning; the losses are added up, not "
            f"averaged; and {_EVERY}.",
            _mixed(1.0, _once_each, stale=True),
        ),
        Mistake(
            "only the last micro-batch's loss counts, undivided, and the penalty is missing. Call backward() in the "
            "loop on each loss divided by their number, and once on the penalty.",
            _mixed(_last, 0.0),
        ),
        Mistake(
            f"{_ZEROED}; and the penalty is missing.",
            _mixed(lambda i, k: _last(i, k) / k, 0.0),
        ),
        Mistake(
            f"{_ZEROED}; and {_EVERY}.",
            _mixed(lambda i, k: _last(i, k) / k, _once_each),
        ),
        Mistake(
            "the losses are divided by the number of texts in each micro-batch. A loss is a mean already; divide by "
            "the number of micro-batches.",
            _by_texts_of_each,
        ),
        Mistake(
            "each loss is divided by the number of entries of its batch (len of a dictionary). Divide by the number of "
            "micro-batches, len(micro_batches).",
            _by_entries,
        ),
        Mistake(
            "the gradients were clipped. That is the optimizer's concern: leave them as they come out.",
            _clipped,
        ),
        Mistake(
            "the losses are divided by the number of texts. A loss is a mean already; divide by the number of "
            "micro-batches.",
            _by_texts,
        ),
    ],
)
