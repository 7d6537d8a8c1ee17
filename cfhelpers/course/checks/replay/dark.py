"""Exercise 7.2: the loss of dark experience replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number

Part = Callable[[Tensor, Tensor], Tensor]

_WEIGHTS = (0.3, 0.5)
"""They do not add up to 1, so that one of them cannot stand for what the other leaves over."""


def _cases() -> list[tuple[Tensor, Tensor, Tensor]]:
    """Logits now, logits then, labels: batches of several shapes, with questions and padding that are no target."""
    generator = torch.Generator().manual_seed(12)
    cases = []
    for sequences, tokens, words in ((2, 5, 7), (3, 4, 11)):
        now, then = 2 * torch.randn(2, sequences, tokens, words, generator=generator)
        labels = torch.randint(words, (sequences, tokens), generator=generator)
        labels[:, :2] = -100
        labels[0, -1] = -100
        cases.append((now, then, labels))
    return cases


def _examine(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for place, (now, then, labels) in enumerate(_cases(), start=1):
        now, then = now.clone().requires_grad_(), then.clone().requires_grad_()
        loss = answer(now, then, labels.clone(), *_WEIGHTS)
        numbers[f"batch {place}: loss"] = number(loss, "the loss")
        if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
            raise CheckFailed("the loss carries no gradient. Return a tensor, without item(), float() or no_grad().")
        loss.backward()
        if then.grad is not None and then.grad.any():
            raise CheckFailed(
                "a gradient flows into the stored logits, which then move towards the new ones. Detach them: they are "
                "a memory."
            )
        if now.grad is None:
            raise CheckFailed("no gradient reaches the logits of now. Compare them with the stored ones.")
        numbers[f"batch {place}: gradient"] = now.grad.double().numpy()
    return numbers


def _targets(logits: Tensor, labels: Tensor) -> Tensor:
    return logits[:, :-1][labels[:, 1:] != -100]


def _all(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.flatten(0, 1)


def _unshifted(logits: Tensor, labels: Tensor) -> Tensor:
    return logits[labels != -100]


def _with_padding(logits: Tensor, labels: Tensor) -> Tensor:
    return logits[:, :-1].flatten(0, 1)


def _square(now: Tensor, then: Tensor) -> Tensor:
    return (now - then).square().mean()


def _loss(
    distance: Part = _square,
    where: Part = _targets,
    *,
    weights: Callable[[float, float], tuple[float, float]] | None = None,
) -> Callable[..., Tensor]:
    """The loss with another distance, at other places, or with other weights."""

    def answer(now: Tensor, then: Tensor, labels: Tensor, logit_weight: float, label_weight: float) -> Tensor:
        then = then.detach()
        alpha, beta = weights(logit_weight, label_weight) if weights else (logit_weight, label_weight)
        nats = cross_entropy(_targets(now, labels), labels[:, 1:][labels[:, 1:] != -100])
        return alpha * distance(where(now, labels), where(then, labels)) + beta * nats

    return answer


def _cross_entropy_with(
    logits: Callable[[Tensor], Tensor], labels_of: Callable[[Tensor], Tensor], reduction: str = "mean"
) -> Callable[..., Tensor]:
    """The loss whose label part is taken elsewhere."""

    def answer(now: Tensor, then: Tensor, labels: Tensor, logit_weight: float, label_weight: float) -> Tensor:
        square = _square(_targets(now, labels), _targets(then.detach(), labels))
        nats = cross_entropy(logits(now).flatten(0, 1), labels_of(labels).flatten(), reduction=reduction)
        return logit_weight * square + label_weight * nats

    return answer


def _divergence(now: Tensor, then: Tensor) -> Tensor:
    return kl_div(now.log_softmax(-1), then.log_softmax(-1), log_target=True, reduction="batchmean")


_SHIFT = "logits at position t predict token t + 1: compare logits[:, :-1] with labels[:, 1:]"

dark_loss = Exercise(
    number="7.2",
    reread="What the old model thought of the wrong answers",
    verified="both parts are means over the targets, and the stored logits stay what they are",
    reference=_loss(),
    library=_loss(),
    examine=_examine,
    mistakes=[
        Mistake("the two weights are exchanged.", _loss(weights=lambda a, b: (b, a))),
        Mistake("the part of the labels is missing (that is DER without ++).", _loss(weights=lambda a, b: (a, 0.0))),
        Mistake(
            "the part of the stored logits is missing (that is plain replay).", _loss(weights=lambda a, b: (0.0, b))
        ),
        Mistake("both weights are missing.", _loss(weights=lambda a, b: (1.0, 1.0))),
        Mistake(
            "the squares are summed over the vocabulary. Take the mean over it too, or α means something else for "
            "every tokenizer.",
            _loss(lambda now, then: (now - then).square().sum(-1).mean()),
        ),
        Mistake(
            "the squares are summed over all targets and logits. Take their mean.",
            _loss(lambda now, then: (now - then).square().sum()),
        ),
        Mistake(
            "probabilities were compared. Softmax flattens all that the model finds unlikely: compare the logits.",
            _loss(lambda now, then: _square(now.softmax(-1), then.softmax(-1))),
        ),
        Mistake(
            "log-probabilities were compared, not logits.",
            _loss(lambda now, then: _square(now.log_softmax(-1), then.log_softmax(-1))),
        ),
        Mistake(
            "a KL divergence was taken: that is distillation, chapter 8. Take the mean squared difference of logits.",
            _loss(_divergence),
        ),
        Mistake("the differences are not squared.", _loss(lambda now, then: (now - then).abs().mean())),
        Mistake(
            "the root of the mean square was taken. Leave the root out.",
            _loss(lambda now, then: _square(now, then).sqrt()),
        ),
        Mistake(
            "questions and padding are compared as well. Compare where something is predicted: labels[:, 1:] != -100.",
            _loss(where=_with_padding),
        ),
        Mistake(
            "every position is compared, the last one, the questions and the padding too. Compare where something is "
            "predicted: labels[:, 1:] != -100.",
            _loss(where=_all),
        ),
        Mistake(f"the logits are compared one position too late: {_SHIFT}.", _loss(where=_unshifted)),
        Mistake(
            f"the labels are not shifted: {_SHIFT}.",
            _cross_entropy_with(lambda now: now, lambda labels: labels),
        ),
        Mistake(
            "the cross-entropy is a sum over the targets. Take their mean.",
            _cross_entropy_with(lambda now: now[:, :-1], lambda labels: labels[:, 1:], "sum"),
        ),
    ],
)
