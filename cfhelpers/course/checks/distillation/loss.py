"""Exercise 8.1: a teacher that stays, and the distance from it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import kl_div

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number
from cfhelpers.course.checks.toys import ToyLanguageModel, Unharmed
from cfhelpers.methods.lwf import LwF

Batch = dict[str, Tensor]

_TEMPERATURES = (1.0, 2.0, 3.5)


def _batches() -> list[Batch]:
    """Two batches of unequal lengths: questions and padding are no targets."""
    generator, made = torch.Generator().manual_seed(5), []
    for lengths, questions in (((6, 4, 7), (2, 1, 4)), ((3, 9), (1, 3))):
        ids = torch.randint(9, (len(lengths), max(lengths)), generator=generator)
        places = torch.arange(max(lengths))
        mask = torch.stack([(places < length).long() for length in lengths])
        answer = torch.stack([places >= question for question in questions])
        labels = torch.where(answer & (mask == 1), ids, -100)
        made.append({"input_ids": ids, "attention_mask": mask, "labels": labels})
    return made


def _move(model: nn.Module, scale: float) -> None:
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():  # as an optimizer does: in place
        for parameter in model.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)


def _examine(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for temperature in _TEMPERATURES:
        model = ToyLanguageModel().train()  # as training leaves it
        unharmed = Unharmed(model)
        made = answer(model, temperature)
        unharmed.check()
        _check_still_training(model)
        model.eval()  # only the teacher's dropout is looked for
        model.observed.clear()
        for place, batch in enumerate(_batches()):
            case = f"T = {temperature:g}, batch {place}"
            if temperature == _TEMPERATURES[0]:
                # Added, because what is compared with 0 needs a size.
                numbers[f"{case}: loss plus 1 before anything moved"] = 1 + number(
                    made.loss(model, dict(batch)), "loss"
                )
        _move(model, 0.4)
        for place, batch in enumerate(_batches()):
            numbers |= _loss_and_gradient(made, model, batch, f"T = {temperature:g}, batch {place}")
        if any(each["training"] for each in model.observed):
            raise CheckFailed(
                "the teacher is in training mode: its dropout makes it say something else every time. Call "
                "teacher.eval()."
            )
        made.loss(model.train(), _batches()[0])
        _check_still_training(model)
    return numbers


def _check_still_training(model: nn.Module) -> None:
    if not model.training:
        raise CheckFailed(
            "your code put the model that is to be trained into evaluation mode. Put the teacher there, its copy."
        )


def _loss_and_gradient(made: Any, model: nn.Module, batch: Batch, case: str) -> Numbers:
    model.zero_grad()
    value = made.loss(model, dict(batch))
    found = {f"{case}: loss": _without_noise(number(value, "loss"))}
    if not isinstance(value, Tensor) or not value.requires_grad:
        raise CheckFailed(
            "the loss is a plain number without a graph, so it cannot move the model. Only the teacher is asked under "
            "torch.no_grad()."
        )
    value.backward()
    parts = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    found[f"{case}: gradient"] = _without_noise(torch.cat(parts).double().numpy() if parts else number(0.0, "gradient"))
    return found


def _without_noise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return zero where only rounding is left, so that a loss that is always zero is known as such."""
    return np.where(np.abs(values) < 1e-5, 0.0, values)


class _Distillation:
    """The distillation loss; subclasses make one mistake each."""

    def __init__(self, model: nn.Module, temperature: float) -> None:
        self.temperature = temperature
        self.teacher = self.remember(model)

    def remember(self, model: nn.Module) -> nn.Module:
        return copy.deepcopy(model).eval().requires_grad_(False)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            wanted = self.teacher(**inputs).logits
        student, teacher, where = self.aligned(model(**inputs).logits, wanted, batch)
        return self.scaled(self.reduced(self.terms(student, teacher), where))

    def aligned(self, student: Tensor, teacher: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        return student[:, :-1], teacher[:, :-1], batch["labels"][:, 1:] != -100

    def terms(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return [B, T, V]: what is summed over the vocabulary."""
        log_q = (student / self.temperature).log_softmax(-1)
        log_p = (teacher / self.temperature).log_softmax(-1)
        return log_p.exp() * (log_p - log_q)

    def reduced(self, terms: Tensor, where: Tensor) -> Tensor:
        return terms.sum(-1)[where].mean()

    def scaled(self, mean: Tensor) -> Tensor:
        return self.temperature**2 * mean


class _Library:
    """The library's method under the exercise's signature."""

    def __init__(self, model: nn.Module, temperature: float) -> None:
        self.method = LwF(1.0, temperature=temperature).protect(model)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        n_targets = (batch["labels"][:, 1:] != -100).sum()
        loss = self.method.extra_loss(model, batch, model(**inputs), n_targets)
        assert loss is not None  # it has a teacher
        return loss


def _with(**methods: Callable[..., Any]) -> type[_Distillation]:
    return cast("type[_Distillation]", type("Imitation", (_Distillation,), methods))


def _terms(make: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[..., Tensor]:
    return lambda self, student, teacher: make(student, teacher, self.temperature)


def _reverse(student: Tensor, teacher: Tensor, t: float) -> Tensor:
    log_q, log_p = (student / t).log_softmax(-1), (teacher / t).log_softmax(-1)
    return log_q.exp() * (log_q - log_p)


def _cross_entropy(student: Tensor, teacher: Tensor, t: float) -> Tensor:
    return -(teacher / t).softmax(-1) * (student / t).log_softmax(-1)


def _only(which: str) -> Callable[[Tensor, Tensor, float], Tensor]:
    def terms(student: Tensor, teacher: Tensor, t: float) -> Tensor:
        log_q = (student / (t if which == "student" else 1)).log_softmax(-1)
        log_p = (teacher / (t if which == "teacher" else 1)).log_softmax(-1)
        return log_p.exp() * (log_p - log_q)

    return terms


def _cross(student: Tensor, teacher: Tensor) -> Tensor:
    log_q, log_p = student.log_softmax(-1), teacher.log_softmax(-1)
    return log_p.exp() * (log_p - log_q)


def _tempered_late(student: Tensor, teacher: Tensor, t: float) -> Tensor:
    log_q, log_p = student.log_softmax(-1) / t, teacher.log_softmax(-1) / t
    return log_p.exp() * (log_p - log_q)


def _unsoftened(student: Tensor, teacher: Tensor, t: float) -> Tensor:
    log_q, log_p = student.log_softmax(-1), teacher.log_softmax(-1)
    return log_p.exp() * (log_p - log_q)


def _no_logarithm(student: Tensor, teacher: Tensor, t: float) -> Tensor:
    log_p = (teacher / t).log_softmax(-1)
    return log_p.exp() * (log_p - (student / t).softmax(-1))


def _wrong_axis(student: Tensor, teacher: Tensor, t: float) -> Tensor:
    log_q, log_p = (student / t).log_softmax(1), (teacher / t).log_softmax(1)
    return log_p.exp() * (log_p - log_q)


def _all_real(self: _Distillation, student: Tensor, teacher: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    return student[:, :-1], teacher[:, :-1], batch["attention_mask"][:, 1:] == 1


def _everything(self: _Distillation, student: Tensor, teacher: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    return student, teacher, torch.ones_like(batch["labels"], dtype=torch.bool)


def _all_shifted(self: _Distillation, student: Tensor, teacher: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    return student[:, :-1], teacher[:, :-1], torch.ones_like(batch["labels"][:, 1:], dtype=torch.bool)


def _no_shift(self: _Distillation, student: Tensor, teacher: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    return student, teacher, batch["labels"] != -100


def _teacher_shifted(
    self: _Distillation, student: Tensor, teacher: Tensor, batch: Batch
) -> tuple[Tensor, Tensor, Tensor]:
    return student[:, :-1], teacher[:, 1:], batch["labels"][:, 1:] != -100


_PER_TOKEN = "Sum over the vocabulary, then average over the target positions."
_TARGETS = "Only positions whose label (the next token's) is not −100 count."

distillation = Exercise(
    number="8.1",
    reread="A teacher that is one's old self",
    verified="the teacher is a copy that stays and is asked without dropout; T² times the mean over the targets only",
    reference=_Distillation,
    library=_Library,
    examine=_examine,
    mistakes=[
        Mistake(
            "the teacher moves along with the student, so the loss is always zero. Keep a copy: copy.deepcopy(model).",
            _with(remember=lambda self, model: model),
        ),
        Mistake(
            "the factor T² is missing: the softer the predictions, the weaker the pull.",
            _with(scaled=lambda self, mean: mean),
        ),
        Mistake(
            "the loss is multiplied by T. The gradient shrinks as 1/T², so T² makes up for it.",
            _with(scaled=lambda self, mean: self.temperature * mean),
        ),
        Mistake(
            "the loss is divided by T². Multiply by it.", _with(scaled=lambda self, mean: mean / self.temperature**2)
        ),
        Mistake(
            "the temperature is missing: both logits are divided by T before the softmax.",
            _with(terms=_terms(_unsoftened), scaled=lambda self, mean: mean),
        ),
        Mistake(
            "the logits are not divided by T, only the loss is multiplied by T².",
            _with(terms=_terms(_unsoftened)),
        ),
        Mistake(
            f"this is “batchmean” over sequences: the targets' sum, divided by the number of rows. {_PER_TOKEN}",
            _with(reduced=lambda self, terms, where: terms.sum(-1)[where].sum() / len(where)),
        ),
        Mistake(
            "this is “batchmean” over everything, padding and questions too, divided by the number of rows. "
            f"{_PER_TOKEN}",
            _with(reduced=lambda self, terms, where: terms.sum() / len(where)),
        ),
        Mistake(
            f"the mean was taken over the vocabulary too, so it is smaller the more words there are. {_PER_TOKEN}",
            _with(reduced=lambda self, terms, where: terms[where].mean()),
        ),
        Mistake(
            f"this is a sum over the targets: it grows with the batch. {_PER_TOKEN}",
            _with(reduced=lambda self, terms, where: terms.sum(-1)[where].sum()),
        ),
        Mistake(
            f"each row was averaged first, so that short answers count more. {_PER_TOKEN}",
            _with(
                reduced=lambda self, terms, where: ((terms.sum(-1) * where).sum(-1) / where.sum(-1).clamp(min=1)).mean()
            ),
        ),
        Mistake(
            f"the targets' sum was divided by all positions, padding too. {_PER_TOKEN}",
            _with(reduced=lambda self, terms, where: (terms.sum(-1) * where).mean()),
        ),
        Mistake(f"the questions are in the loss. {_TARGETS}", _with(aligned=_all_real)),
        Mistake(f"questions and padding are in the loss. {_TARGETS}", _with(aligned=_everything)),
        Mistake(f"questions and padding are in the loss. {_TARGETS}", _with(aligned=_all_shifted)),
        Mistake(
            "the logits were taken where the labels stand. The logits at t speak of token t + 1: logits[:, :-1] "
            "belong to labels[:, 1:].",
            _with(aligned=_no_shift),
        ),
        Mistake(
            "student and teacher are compared at different positions. Shift both alike.",
            _with(aligned=_teacher_shifted),
        ),
        Mistake(
            "this is KL(new ‖ old). Learning without forgetting weighs by the old model: KL(old ‖ new).",
            _with(terms=_terms(_reverse)),
        ),
        Mistake(
            "this is the cross-entropy with the teacher: its gradient is right, but it is not zero where nothing has "
            "moved. Subtract the teacher's own entropy.",
            _with(terms=_terms(_cross_entropy)),
        ),
        Mistake("only the student is softened. Divide both logits by T.", _with(terms=_terms(_only("student")))),
        Mistake("only the teacher is softened. Divide both logits by T.", _with(terms=_terms(_only("teacher")))),
        Mistake(
            "the student's probabilities stand where their logarithm belongs. torch's kl_div wants log-probabilities "
            "first.",
            _with(terms=_terms(_no_logarithm)),
        ),
        Mistake(
            "kl_div was given the teacher's log-probabilities as if they were probabilities: the logarithm of a "
            "negative number is NaN. Say log_target=True.",
            _with(
                terms=_terms(lambda s, p, t: kl_div((s / t).log_softmax(-1), (p / t).log_softmax(-1), reduction="none"))
            ),
        ),
        Mistake(
            "the softmax runs over the positions. It belongs over the vocabulary, the last axis.",
            _with(terms=_terms(_wrong_axis)),
        ),
        Mistake(
            "the sign is wrong: this rewards moving away from the teacher.",
            _with(scaled=lambda self, m: -(self.temperature**2) * m),
        ),
        Mistake(
            "the logits are multiplied by T. Divide them by it.",
            _with(terms=lambda self, s, t: _cross(s * self.temperature, t * self.temperature)),
        ),
        Mistake(
            "the log-probabilities are divided by T. Divide the logits, before the softmax.",
            _with(terms=lambda self, s, t: _tempered_late(s, t, self.temperature)),
        ),
        Mistake(
            "this is half KL(old ‖ new) and half KL(new ‖ old). Learning without forgetting weighs by the old model "
            "alone.",
            _with(terms=_terms(lambda s, p, t: (_reverse(s, p, t) + _cross(s / t, p / t)) / 2)),
        ),
        Mistake(
            "this is the mean squared difference of logits. Take KL(old ‖ new) of the softened probabilities.",
            _with(
                terms=lambda self, s, t: (s - t).square() / s.shape[-1],
                scaled=lambda self, mean: mean,
            ),
        ),
        Mistake(
            "this is the cross-entropy with the teacher's best guesses. Its whole distribution is the target.",
            _with(
                terms=lambda self, s, t: -nn.functional.one_hot(t.argmax(-1), s.shape[-1]) * s.log_softmax(-1),
                scaled=lambda self, mean: mean,
            ),
        ),
        Mistake(
            "this is “batchmean” over everything, the last position, questions and padding too, divided by the number "
            f"of rows. {_PER_TOKEN}",
            _with(aligned=_everything, reduced=lambda self, terms, where: terms.sum() / len(where)),
        ),
    ],
)
