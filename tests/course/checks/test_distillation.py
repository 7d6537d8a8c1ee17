"""Chapter 8's exercises: correct answers in several styles pass, other wrong answers are told what is wrong."""

import copy
import math

import numpy as np
import pytest
import torch

from cfhelpers.course.checks import CheckFailed
from tests.course.checks.exercises import EXERCISES

# 8.1 The loss --------------------------------------------------------------------------------------------------------


class WithKlDiv:
    """torch's own function, on the targets picked out first."""

    def __init__(self, model, temperature):
        self.temperature, self.teacher = temperature, copy.deepcopy(model)
        self.teacher.eval()

    def loss(self, model, batch):
        where = batch["labels"][:, 1:] != -100
        given = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        with torch.inference_mode():
            wanted = self.teacher(**given).logits[:, :-1][where].clone()
        ours = model(**given).logits[:, :-1][where]
        kl = torch.nn.functional.kl_div(
            torch.log_softmax(ours / self.temperature, -1), torch.softmax(wanted.clone() / self.temperature, -1),
            reduction="batchmean",
        )  # fmt: skip
        return kl * self.temperature**2


class TokenByToken:
    """One target after the other, with a model built anew from copied weights."""

    def __init__(self, model, temperature):
        self.temperature = temperature
        self.weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        self.old = type(model)()
        self.old.observed = model.observed
        self.old.load_state_dict(self.weights)
        self.old.eval()

    def loss(self, model, batch):
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        ours, theirs = model(**inputs).logits, self.old(**inputs).logits.detach()
        terms = []
        for row in range(len(ours)):
            for t in range(1, ours.shape[1]):
                if batch["labels"][row, t] != -100:
                    p = torch.softmax(theirs[row, t - 1] / self.temperature, 0)
                    q = torch.softmax(ours[row, t - 1] / self.temperature, 0)
                    terms.append((p * (p / q).log()).sum())
        return torch.stack(terms).mean() * self.temperature**2


@pytest.mark.parametrize("answer", [WithKlDiv, TokenByToken])
def test_the_loss_passes_in_other_styles(answer):
    assert EXERCISES["8.1"](answer) is answer


def varied(**changes):
    return type("Answer", (WithKlDiv,), changes)


def scaled(factor, plus=0.0):
    return varied(loss=lambda self, model, batch: factor * WithKlDiv.loss(self, model, batch) + plus)


def in_training_mode(self, model, temperature):
    self.temperature, self.teacher = temperature, copy.deepcopy(model)


def student_in_evaluation_mode(self, model, temperature):
    self.temperature, self.teacher = temperature, copy.deepcopy(model.eval())


def moving(self, model, temperature):
    WithKlDiv.__init__(self, model, temperature)
    with torch.no_grad():
        next(model.parameters()).add_(0.1)


def shallow(self, model, temperature):
    self.temperature, self.teacher = temperature, copy.copy(model).eval()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (varied(__init__=in_training_mode), "teacher is in training mode"),
        (varied(__init__=student_in_evaluation_mode), "into evaluation mode"),
        (varied(__init__=moving), "changed the model"),
        (varied(__init__=shallow), "moves along with the student"),
        (varied(loss=lambda self, m, b: WithKlDiv.loss(self, m, b).item()), "plain number without a graph"),
        (varied(loss=lambda self, m, b: None), "None"),
        (varied(loss=lambda self, m, b: m(**b).loss), "."),
        (varied(loss=lambda self, m, b: WithKlDiv.loss(self, m, b)[None].expand(2)), "one number"),
        (scaled(0.5), "0.5 times|where"),
        (scaled(1.0, 0.1), "where"),
        (scaled(2.0), "times|where"),
        (scaled(math.nan), "NaN"),
        (varied(loss=lambda self, m, b: WithKlDiv.loss(self, m, b) ** 2), "where"),
        (varied(loss=lambda self, m, b: WithKlDiv.loss(self, m, b).sqrt()), "where|NaN"),
        (varied(loss=lambda self, m, b: WithKlDiv.loss(self, m, {n: t[:1] for n, t in b.items()})), "where"),
        (varied(loss=lambda self, m, b: WithKlDiv.loss(self, m, b) + m(**b).loss), "where"),
    ],
)
def test_other_wrong_losses_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["8.1"](answer)


# 8.2 The curvature ---------------------------------------------------------------------------------------------------


def by_finite_differences(logits, slopes):
    step = 1e-3
    p, q = (each.double().log_softmax(-1) for each in (logits, logits + step * slopes))
    return ((p.exp() * (p - q)).sum(-1).mean() / step**2).item()


def with_the_fisher_matrix(logits, slopes):
    total = 0.0
    for row, slope in zip(logits.softmax(-1), slopes, strict=True):
        fisher = torch.diag(row) - torch.outer(row, row)
        total += float(slope @ fisher @ slope) / 2
    return total / len(logits)


@pytest.mark.parametrize("answer", [by_finite_differences, with_the_fisher_matrix])
def test_the_curvature_passes_in_other_styles(answer):
    assert EXERCISES["8.2"](answer) is answer


def in_place(logits, slopes):
    value = with_the_fisher_matrix(logits, slopes)
    slopes.zero_()
    return value


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (in_place, "changed the logits"),
        (lambda z, s: None, "None"),
        (lambda z, s: (z.softmax(-1) * s**2).sum(-1), "one number"),
        (lambda z, s: 3 * with_the_fisher_matrix(z, s), "3 times|where"),
        (lambda z, s: with_the_fisher_matrix(z, s) + 1, "where"),
        (lambda z, s: with_the_fisher_matrix(z[:1], s[:1]), "only the first target counts"),
        (lambda z, s: with_the_fisher_matrix(2 * z, s), "where"),
        (lambda z, s: with_the_fisher_matrix(z, s.abs()), "where"),
        (lambda z, s: 0.0, "where"),
        (lambda z, s: z @ s, "stopped with"),
    ],
)
def test_other_wrong_curvatures_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["8.2"](answer)


# 8.3 Transitions -----------------------------------------------------------------------------------------------------


def item_by_item(before, after, chance):
    counts = dict.fromkeys(((True, False), (False, True), (False, False), (True, True)), 0)
    for pair in zip(before, after, strict=True):
        counts[pair] += 1
    unknown = counts[False, False] / (1 - chance) ** 2
    return [
        (counts[pair] - unknown * chance * (1 - chance)) / (1 - chance) / len(before)
        for pair in ((True, False), (False, True))
    ]


def as_an_array(before, after, chance):
    return np.array(item_by_item(before, after, chance))


@pytest.mark.parametrize("answer", [item_by_item, as_an_array])
def test_transitions_pass_in_other_styles(answer):
    assert EXERCISES["8.3"](answer) is answer


def clearing(before, after, chance):
    found = item_by_item(before, after, chance)
    before.clear()
    return found


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (clearing, "changed the lists"),
        (lambda b, a, c: None, "None"),
        (lambda b, a, c: item_by_item(b, a, c)[0], "two numbers"),
        (lambda b, a, c: (*item_by_item(b, a, c), 0.0), "two numbers"),
        (lambda b, a, c: [len(b) * each for each in item_by_item(b, a, c)], "these are counts"),
        (lambda b, a, c: item_by_item(b, a, 0.25), "where"),
        (lambda b, a, c: item_by_item(a, b, 2 * c if c < 0.5 else c), "where|places"),
        (lambda b, a, c: [1 - each for each in item_by_item(b, a, c)], "where"),
        (lambda b, a, c: [2 * each for each in item_by_item(b, a, c)], "times"),
        (lambda b, a, c: item_by_item(b, a, 1.0), "ZeroDivisionError"),
        (lambda b, a, c: [abs(each) for each in item_by_item(b[:20], a[:20], c)], "where"),
        (lambda b, a, c: b - a, "stopped with TypeError"),
    ],
)
def test_other_wrong_transitions_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["8.3"](answer)
