"""Answers to the exercises of chapter 8, each a whole function or class.

Beside a wrong one stands what the check has to say of it; nothing where it only has to be rejected.
"""

# Learners write as they like.
# ruff: noqa

import copy

import torch
import torch.nn.functional as F

from tests.course.answers.whole import right, wrong


def _distilled(make):
    class Distillation:
        def __init__(self, model, temperature):
            self.teacher, self.temperature = copy.deepcopy(model).eval(), temperature

        def loss(self, model, batch):
            inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
            with torch.no_grad():
                wanted = self.teacher(**inputs).logits
            where = batch["labels"][:, 1:] != -100
            return make(model(**inputs).logits[:, :-1][where], wanted[:, :-1][where], self.temperature)

    return Distillation


@right("8.1")
@_distilled
def distillation(now, then, t):
    return t**2 * F.kl_div((now / t).log_softmax(-1), (then / t).softmax(-1), reduction="batchmean")


@wrong("8.1", "the logits are multiplied by T. Divide them by it")
@_distilled
def distillation(now, then, t):
    return t**2 * F.kl_div((now * t).log_softmax(-1), (then * t).softmax(-1), reduction="batchmean")


@wrong("8.1", "this is half KL(old ‖ new) and half KL(new ‖ old)")
@_distilled
def distillation(now, then, t):
    p, q = (then / t).log_softmax(-1), (now / t).log_softmax(-1)
    return t**2 * ((p.exp() - q.exp()) * (p - q)).sum(-1).mean() / 2


@right("8.2")  # as a quadratic form
def second_order_kl(logits, slopes):
    each = zip(logits.softmax(-1), slopes)
    return torch.stack([0.5 * s @ (torch.diag(p) - torch.outer(p, p)) @ s for p, s in each]).mean()


@wrong("8.2", "only the diagonal was kept: p (1 − p) s²")
def second_order_kl(logits, slopes):
    p = logits.softmax(-1)
    return 0.5 * (p * (1 - p) * slopes**2).sum(-1).mean()


@right("8.3")  # two numbers in one tensor
def lost_and_gained(before, after, chance):
    x, y = torch.tensor(before), torch.tensor(after)
    changed = torch.stack([x & ~y, ~x & y]).double().mean(1)
    return changed / (1 - chance) - chance * (~x & ~y).double().mean() / (1 - chance) ** 2


@wrong("8.3", "chance was subtracted from each share, which was then divided by 1 − c")
def lost_and_gained(before, after, chance):
    pairs = list(zip(before, after))
    shares = (pairs.count((True, False)) / len(pairs), pairs.count((False, True)) / len(pairs))
    return tuple((share - chance) / (1 - chance) for share in shares)
