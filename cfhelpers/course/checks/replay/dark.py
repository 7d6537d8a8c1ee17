"""Exercise 7.2: the loss of dark experience replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number

Part = Callable[[Tensor, Tensor], Tensor]

_WEIGHTS = (0.3, 0.6)
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


def _of_the_labels(now: Tensor, then: Tensor, labels: Tensor, logit_weight: float, label_weight: float) -> Tensor:
    words = labels[:, 1:][labels[:, 1:] != -100].unsqueeze(-1)
    return _loss(lambda n, t: (n - t).gather(-1, words).square().mean())(now, then, labels, logit_weight, label_weight)


def _rows_first(now: Tensor, then: Tensor, labels: Tensor, logit_weight: float, label_weight: float) -> Tensor:
    nats = cross_entropy(_targets(now, labels), labels[:, 1:][labels[:, 1:] != -100])
    rows = zip(now.split(1), then.detach().split(1), labels.split(1), strict=True)
    squares = torch.stack([_square(_targets(n, y), _targets(t, y)) for n, t, y in rows]).mean()
    return logit_weight * squares + label_weight * nats


def _of_then(now: Tensor, then: Tensor, labels: Tensor, logit_weight: float, label_weight: float) -> Tensor:
    nats = cross_entropy(_targets(then.detach(), labels), labels[:, 1:][labels[:, 1:] != -100])
    return logit_weight * _square(_targets(now, labels), _targets(then.detach(), labels)) + label_weight * nats


def _unshifted_loss(now: Tensor, then: Tensor, labels: Tensor, logit_weight: float, label_weight: float) -> Tensor:
    nats = cross_entropy(_unshifted(now, labels), labels[labels != -100])
    return logit_weight * _square(_unshifted(now, labels), _unshifted(then.detach(), labels)) + label_weight * nats


def _with_old_guesses(now: Tensor, then: Tensor, labels: Tensor, logit_weight: float, label_weight: float) -> Tensor:
    here, there = _targets(now, labels), _targets(then.detach(), labels)
    return logit_weight * _square(here, there) + label_weight * cross_entropy(here, there.argmax(-1))


def _backwards(now: Tensor, then: Tensor, labels: Tensor, logit_weight: float, label_weight: float) -> Tensor:
    where = labels[:, :-1] != -100
    here, there = now[:, 1:][where], then.detach()[:, 1:][where]
    return logit_weight * _square(here, there) + label_weight * cross_entropy(here, labels[:, :-1][where])


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
        Mistake("the weight of the stored logits is missing.", _loss(weights=lambda a, b: (1.0, b))),
        Mistake("the weight of the labels is missing.", _loss(weights=lambda a, b: (a, 1.0))),
        Mistake(
            "the second weight is taken to be one minus the first. Both are given.",
            _loss(weights=lambda a, b: (a, 1 - a)),
        ),
        Mistake(
            "the first weight is taken to be one minus the second. Both are given.",
            _loss(weights=lambda a, b: (1 - b, b)),
        ),
        Mistake("both parts are multiplied by both weights.", _loss(weights=lambda a, b: (a * b, a * b))),
        Mistake("the first weight multiplies both parts.", _loss(weights=lambda a, b: (a, a * b))),
        Mistake("the second weight multiplies both parts.", _loss(weights=lambda a, b: (a * b, b))),
        Mistake(
            "the part of the stored logits has the wrong sign: it pushes away from them.",
            _loss(weights=lambda a, b: (-a, b)),
        ),
        Mistake(
            "the cross-entropy has the wrong sign: it makes the labels less likely.",
            _loss(weights=lambda a, b: (a, -b)),
        ),
        Mistake("there is a ½ too many before the squares.", _loss(weights=lambda a, b: (a / 2, b))),
        Mistake(
            "the sum of both parts is halved. Add them up as they are.", _loss(weights=lambda a, b: (a / 2, b / 2))
        ),
        Mistake(
            "the squares are summed over the targets, though averaged over the vocabulary. Take the mean over both.",
            _loss(lambda now, then: (now - then).square().mean(-1).sum()),
        ),
        Mistake(
            "the norm of each target's difference was taken, without its square. Take the mean of the squares.",
            _loss(lambda now, then: (now - then).norm(dim=-1).mean()),
        ),
        Mistake(
            "only the logits of the right words are compared. Compare those of the whole vocabulary.",
            _of_the_labels,
        ),
        Mistake(
            "only the most likely words of then are compared. Compare the logits of the whole vocabulary.",
            _loss(lambda now, then: (now - then).gather(-1, then.argmax(-1, keepdim=True)).square().mean()),
        ),
        Mistake(
            "the cross-entropy with the old probabilities was taken: that is distillation, chapter 8. Take the mean "
            "squared difference of logits.",
            _loss(lambda now, then: -(then.softmax(-1) * now.log_softmax(-1)).sum(-1).mean()),
        ),
        Mistake(
            "the squares are averaged row by row first, so that short answers count more. Take the mean over all "
            "targets.",
            _rows_first,
        ),
        Mistake(
            "the cross-entropy is taken of the stored logits, which are a memory and learn nothing. Take that of now.",
            _of_then,
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
        Mistake(f"neither part is shifted: {_SHIFT}.", _unshifted_loss),
        Mistake(
            "a KL divergence was taken, averaged over the vocabulary too: that is distillation, chapter 8. Take the "
            "mean squared difference of logits.",
            _loss(lambda now, then: _divergence(now, then) / now.shape[-1]),
        ),
        Mistake(
            "small differences are squared and large ones are not (smooth_l1 or huber). Square all of them.",
            _loss(torch.nn.functional.smooth_l1_loss),
        ),
        Mistake(
            "each position's mean logit is subtracted first. Compare the logits as they are.",
            _loss(lambda now, then: _square(now - now.mean(-1, keepdim=True), then - then.mean(-1, keepdim=True))),
        ),
        Mistake(
            "the cross-entropy is taken with the old model's best guesses. Take the labels.",
            _with_old_guesses,
        ),
        Mistake(
            "logits are set against labels the wrong way round: logits[:, 1:] with labels[:, :-1] asks for the token "
            "before. Compare logits[:, :-1] with labels[:, 1:].",
            _backwards,
        ),
    ],
)
