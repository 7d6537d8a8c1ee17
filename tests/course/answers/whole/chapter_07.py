"""Answers to the exercises of chapter 7, each a whole function or class.

Beside a wrong one stands what the check has to say of it; nothing where it only has to be rejected.
"""

# Learners write as they like.
# ruff: noqa

import torch
import torch.nn.functional as F

from tests.course.answers.whole import right, wrong


def _mixed(distance):
    def dark_loss(logits, stored, labels, logit_weight, label_weight):
        where = labels[:, 1:] != -100
        now, then = logits[:, :-1][where], stored[:, :-1][where].detach()
        return logit_weight * distance(now, then) + label_weight * F.cross_entropy(now, labels[:, 1:][where])

    return dark_loss


right("7.2")(_mixed(F.mse_loss))
wrong("7.2", "small differences are squared and large ones are not")(_mixed(F.smooth_l1_loss))
wrong("7.2", "a KL divergence was taken, averaged over the vocabulary too")(
    _mixed(lambda now, then: F.kl_div(now.log_softmax(-1), then.softmax(-1), reduction="mean"))
)


def _flat(gradient):
    return torch.cat([each.flatten() for each in gradient.values()])


@right("7.3")  # one long vector, clamped
def project(gradient, reference):
    factor = torch.clamp(_flat(gradient) @ _flat(reference), max=0) / (_flat(reference) @ _flat(reference))
    return {name: gradient[name] - factor * reference[name] for name in gradient}


@wrong("7.3", "a conflict in one tensor decides for the whole")
def project(gradient, reference):
    factor = (_flat(gradient) @ _flat(reference)) / (_flat(reference) @ _flat(reference))
    conflict = any((gradient[name] * reference[name]).sum() < 0 for name in gradient)
    return {name: gradient[name] - factor * conflict * reference[name] for name in gradient}


@wrong("7.3", "whether there is a conflict is asked of the whole, but each tensor is projected by itself")
def project(gradient, reference):
    if _flat(gradient) @ _flat(reference) >= 0:
        return gradient
    return {
        name: g - (g * reference[name]).sum() / reference[name].square().sum() * reference[name]
        for name, g in gradient.items()
    }
