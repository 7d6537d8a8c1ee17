"""Chapter 7's exercises: correct answers in several styles pass, other wrong answers are told what is wrong."""

import heapq
import random

import pytest
import torch
from torch.nn.functional import cross_entropy

from cfhelpers.course.checks import CheckFailed
from cfhelpers.course.checks.replay import streams
from tests.course.checks.exercises import EXERCISES

# 7.1 The reservoir ---------------------------------------------------------------------------------------------------


def with_a_heap(stream, size, generator):
    """Give every item a random key and keep those with the largest: another uniform sampler in one pass."""
    kept = []
    for number, item in enumerate(stream):
        entry = (generator.random(), number, item)
        if len(kept) < size:
            heapq.heappush(kept, entry)
        else:
            heapq.heappushpop(kept, entry)
    return [item for _, _, item in kept]


def with_two_draws(stream, size, generator):
    kept = []
    for n, item in enumerate(stream):
        if n < size:
            kept.append(item)
        elif generator.random() < size / (n + 1):
            kept[generator.randint(0, size - 1)] = item
    return kept


@pytest.mark.parametrize("answer", [with_a_heap, with_two_draws])
def test_a_uniform_sample_passes_in_other_styles(answer):
    assert EXERCISES["7.1"](answer) is answer


@pytest.mark.parametrize("index", range(len(streams.MISTAKES)))
def test_every_known_way_to_sample_unfairly_is_called_by_its_own_name(index):
    advice, imitation = streams.MISTAKES[index]
    with pytest.raises(CheckFailed) as failure:
        EXERCISES["7.1"](imitation)
    assert advice in str(failure.value)


def in_memory(stream, size, generator):
    items = list(stream)
    return generator.sample(items, min(size, len(items)))


def twice(stream, size, generator):
    items = list(stream)
    return [generator.choice(items) for _ in range(min(size, len(items)))]


def numbers_only(stream, size, generator):
    return list(range(min(size, sum(1 for _ in stream))))


def always_the_same(stream, size, generator):
    return with_two_draws(stream, size, random.Random(3))


def every_other(stream, size, generator):
    """Each place has the same chance, but the offset decides all of them."""
    items = list(stream)
    shift = generator.randrange(len(items))
    step = max(len(items) // size, 1)
    return [items[(shift + step * n) % len(items)] for n in range(min(size, len(items)))]


def too_many(stream, size, generator):
    return list(stream)[: size + 1]


def prefers(power):
    """Keys drawn from another distribution for late items: a bias of some strength."""

    def answer(stream, size, generator):
        keyed = [(generator.random() ** (1 + power * n), n, item) for n, item in enumerate(stream)]
        return [item for _, _, item in sorted(keyed)[-size:]]

    return answer


def never_the_last(stream, size, generator):
    items = list(stream)
    return generator.sample(items[:-1] if len(items) > size else items, min(size, len(items)))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (in_memory, "held in memory at once"),
        (twice, "kept twice"),
        (numbers_only, "not their numbers"),
        (always_the_same, "was kept in"),
        (every_other, "pairs are kept together too often|was kept in"),
        (too_many, "were kept where"),
        (lambda s, k, g: [], "were kept where"),
        (lambda s, k, g: set(list(s)[:k]), "must be a list, not set"),
        (prefers(0.2), "was kept in"),
        (prefers(1.0), "was kept in"),
        (never_the_last, "was kept in"),
        (lambda s, k, g: sorted(s, key=lambda item: -item.place)[:k], "whatever came before"),
        (lambda s, k, g: s[0], "stopped with TypeError"),
        (lambda s, k, g: [item for item in s if g.random() < 0.25][:k], "were kept where"),
    ],
)
def test_other_unfair_samples_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["7.1"](answer)


# 7.3 The projection --------------------------------------------------------------------------------------------------


def flattened(gradient, reference):
    g, r = (torch.cat([tensor.flatten() for tensor in each.values()]) for each in (gradient, reference))
    if g @ r < 0:
        g = g - (g @ r) / (r @ r) * r
    parts = g.split([tensor.numel() for tensor in gradient.values()])
    return {name: part.view_as(gradient[name]) for name, part in zip(gradient, parts, strict=True)}


def in_place(gradient, reference):
    dot = sum((gradient[name] * reference[name]).sum() for name in gradient)
    if dot < 0:
        square = sum(tensor.square().sum() for tensor in reference.values())
        for name in gradient:
            gradient[name].sub_(dot / square * reference[name])
    return gradient


@pytest.mark.parametrize("answer", [flattened, in_place])
def test_a_projection_passes_in_other_styles(answer):
    assert EXERCISES["7.3"](answer) is answer


def changes_the_reference(gradient, reference):
    found = flattened(gradient, reference)
    next(iter(reference.values())).zero_()
    return found


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (changes_the_reference, "changed the reference"),
        (lambda g, r: {n: 2 * t for n, t in flattened(g, r).items()}, "2 times what it should be"),
        (lambda g, r: {n: -t for n, t in flattened(g, r).items()}, "times"),
        (lambda g, r: {n: t + 0.01 for n, t in flattened(g, r).items()}, "where"),
        (lambda g, r: dict(list(flattened(g, r).items())[:1]), "lacks"),
        (lambda g, r: {**flattened(g, r), "more": torch.ones(1)}, "does not belong"),
        (lambda g, r: {n: t.flatten() for n, t in flattened(g, r).items()}, "shape"),
        (lambda g, r: list(flattened(g, r).values()), "must be a dictionary"),
        (lambda g, r: {n: t.tolist() for n, t in flattened(g, r).items()}, "must be a tensor"),
        (lambda g, r: {n: t * float("nan") for n, t in g.items()}, "NaN"),
        (lambda g, r: g["missing"], "KeyError"),
    ],
)
def test_other_wrong_projections_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["7.3"](answer)


# 7.2 The loss of DER++ -----------------------------------------------------------------------------------------------


def position_by_position(logits, stored, labels, logit_weight, label_weight):
    squares, nats = [], []
    for row in range(labels.shape[0]):
        for t in range(labels.shape[1] - 1):
            if labels[row, t + 1] != -100:
                squares.append((logits[row, t] - stored[row, t].detach()) ** 2)
                nats.append(-logits[row, t].log_softmax(-1)[labels[row, t + 1]])
    return logit_weight * torch.stack(squares).mean() + label_weight * torch.stack(nats).mean()


def with_ignore_index(logits, stored, labels, logit_weight, label_weight):
    z, old, y = logits[:, :-1], stored[:, :-1].clone().detach(), labels[:, 1:]
    mask = (y != -100).unsqueeze(-1).expand_as(z)
    square = torch.nn.functional.mse_loss(z[mask], old[mask])
    return logit_weight * square + label_weight * cross_entropy(z.transpose(1, 2), y, ignore_index=-100)


@pytest.mark.parametrize("answer", [position_by_position, with_ignore_index])
def test_the_loss_passes_in_other_styles(answer):
    assert EXERCISES["7.2"](answer) is answer


def stored_with_gradient(logits, stored, labels, a, b):
    return position_by_position(logits, stored, labels, a, b) + 0 * stored.sum() + (stored - stored.detach()).sum()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (stored_with_gradient, "a gradient flows into the stored"),
        (lambda *i: position_by_position(*i).item(), "carries no gradient"),
        (lambda *i: 2 * position_by_position(*i), "2 times"),
        (lambda *i: position_by_position(*i) + 0.1, "where"),
        (lambda *i: -position_by_position(*i), "times"),
        (lambda z, s, y, a, b: position_by_position(z, s, y, a / 2, b), "there is a ½ too many before the squares"),
        (lambda z, s, y, a, b: position_by_position(z, s, y, a, 2 * b), "where"),
        (lambda z, s, y, a, b: position_by_position(z[:1], s[:1], y[:1], a, b), "where"),
        (lambda z, s, y, a, b: position_by_position(z, s, y, a, b).expand(2), "one number, but it has shape"),
        (lambda z, s, y, a, b: position_by_position(z, -s, y, a, b), "where"),
        (lambda z, s, y, a, b: (s * b).mean().requires_grad_(), "where|no gradient reaches|stored logits"),
        (lambda z, s, y, a, b: position_by_position(z, s, y, a, b) * float("nan"), "NaN"),
        (lambda z, s, y, a, b: z @ s, "stopped with"),
        (lambda z, s, y, a, b: position_by_position(z.detach(), s, y, a, b), "carries no gradient|no gradient"),
    ],
)
def test_other_wrong_losses_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["7.2"](answer)
