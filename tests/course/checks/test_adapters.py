"""Chapter 5's exercises: correct answers in several styles pass, other wrong answers are told what is wrong."""

import math

import pytest
import torch

from cfhelpers.course.checks import CheckFailed, adapters
from tests.course.checks.exercises import EXERCISES

# 5.1 The update -------------------------------------------------------------------------------------------------------


def update_of_columns(A, B, alpha, conv1d):
    rank = B.shape[1]
    update = torch.zeros(B.shape[0], A.shape[1])
    for k in range(rank):
        update = update + torch.outer(B[:, k], A[k])
    update = update * alpha / rank
    return update.t().contiguous() if conv1d else update


def update_by_einsum(A, B, alpha, conv1d):
    return torch.einsum("ri,or->io" if conv1d else "ri,or->oi", A.double(), B.double() * (alpha / len(A)))


@pytest.mark.parametrize("answer", [update_of_columns, update_by_einsum])
def test_an_update_passes_in_other_styles(answer):
    assert EXERCISES["5.1"](answer) is answer


def scales_in_place(A, B, alpha, conv1d):
    B *= alpha / A.shape[0]
    return (B @ A).T if conv1d else B @ A


right = adapters.low_rank_update.reference


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (scales_in_place, "changed A or B in place"),
        (lambda A, B, alpha, conv1d: A @ B, "stopped with|shape"),
        (lambda A, B, alpha, conv1d: alpha / len(A) * (A.T @ B.T) if not conv1d else B @ A, "where|shape|transposed"),
        (lambda A, B, alpha, conv1d: right(A, B, alpha, conv1d).numpy(), "must be a tensor, not ndarray"),
        (lambda A, B, alpha, conv1d: right(A, B, alpha, conv1d).sum(), "shape"),
        (lambda A, B, alpha, conv1d: right(A, B, alpha, conv1d) * 2, "2 times what it should be"),
        (lambda A, B, alpha, conv1d: right(A, B, alpha, conv1d) + 1, "where"),
        (
            lambda A, B, alpha, conv1d: right(A, B, alpha, conv1d) + torch.eye(*right(A, B, alpha, conv1d).shape),
            "where",
        ),
        (lambda A, B, alpha, conv1d: right(A, B, alpha + 1, conv1d), "where"),
        (lambda A, B, alpha, conv1d: right(A[:1], B[:, :1], alpha, conv1d), "where"),
        (lambda A, B, alpha, conv1d: right(A[:1], B[:, :1], alpha / len(A), conv1d), "where"),
        (lambda A, B, alpha, conv1d: torch.zeros_like(right(A, B, alpha, conv1d)), "where"),
        (lambda A, B, alpha, conv1d: right(A.abs(), B, alpha, conv1d), "where"),
        (lambda A, B, alpha, conv1d: right(A, B, alpha, conv1d).abs(), "where"),
        (lambda A, B, alpha, conv1d: right(A.flip(0), B, alpha, conv1d), "where"),
        (lambda A, B, alpha, conv1d: right(A, B, alpha, conv1d) * math.nan, "NaN"),
        (lambda A, B, alpha, conv1d: right(A, B, alpha, conv1d)[0], "shape"),
        (lambda A, B, alpha, conv1d: [right(A, B, alpha, conv1d)], "must be a tensor, not list"),
        (lambda A, B, alpha, conv1d: (A, B), "must be a tensor, not tuple"),
        (lambda A, B, alpha, conv1d: right(A, B, round(alpha), conv1d).round(), "where"),
        (lambda A, B, alpha, conv1d: A.missing, "stopped with AttributeError"),
        (lambda A, B: B @ A, "stopped with TypeError"),
    ],
)
def test_other_wrong_updates_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["5.1"](answer)


# 5.2 The mean ---------------------------------------------------------------------------------------------------------


def mean_in_a_loop(adapters, alpha):
    total = 0
    for A, B in adapters:
        total = total + B @ A / len(A)
    return total * alpha / len(adapters)


def mean_by_stacking(adapters, alpha):
    """Return it as one adapter of rank K r, which is what peft calls cat."""
    A = torch.cat([A for A, _ in adapters])
    B = torch.cat([B for _, B in adapters], dim=1)
    return B.double() @ A.double() * alpha / len(A)


@pytest.mark.parametrize("answer", [mean_in_a_loop, mean_by_stacking])
def test_a_mean_passes_in_other_styles(answer):
    assert EXERCISES["5.2"](answer) is answer


def averages_in_place(adapters, alpha):
    for A, _ in adapters:
        A *= alpha / len(A) / len(adapters)
    return sum(B @ A for A, B in adapters)


mean = adapters.mean_of_updates.reference


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (averages_in_place, "in place"),
        (lambda adapters, alpha: mean(adapters, alpha).numpy(), "must be a tensor"),
        (lambda adapters, alpha: [mean([each], alpha) for each in adapters], "must be a tensor, not list"),
        (lambda adapters, alpha: mean(adapters, alpha).T, "shape|where"),
        (lambda adapters, alpha: mean(adapters, alpha) * 3, "3 times"),
        (lambda adapters, alpha: -mean(adapters, alpha), "the sign is wrong"),
        (lambda adapters, alpha: mean(adapters, alpha).mean(), "shape"),
        (lambda adapters, alpha: mean(adapters, alpha) * math.inf, "where"),
        (lambda adapters, alpha: mean(adapters, alpha) * math.nan, "NaN"),
        (lambda adapters, alpha: torch.zeros_like(mean(adapters, alpha)), "where"),
        (lambda adapters, alpha: mean(adapters[:2], alpha), "where"),
        (lambda adapters, alpha: mean(adapters, alpha) + 0.1, "where"),
        (
            lambda adapters, alpha: torch.stack([B @ A for A, B in adapters]).amax(0) * alpha / len(adapters[0][0]),
            "largest of the updates",
        ),
        (lambda adapters, alpha: mean(adapters, alpha).abs(), "where"),
        (lambda adapters, alpha: mean(adapters, alpha).sign(), "where"),
        (lambda adapters, alpha: mean([(A, B.abs()) for A, B in adapters], alpha), "where"),
        (lambda adapters, alpha: mean([(A.flip(0), B) for A, B in adapters], alpha), "where"),
        (
            lambda adapters, alpha: mean(list(zip(*reversed(list(zip(*adapters, strict=True))), strict=True)), alpha),
            "stop",
        ),
        (lambda adapters, alpha: torch.lerp(mean(adapters[:1], alpha), mean(adapters[-1:], alpha), 0.3), "where"),
        (lambda adapters, alpha: mean(adapters, alpha).round(), "where"),
        (lambda adapters, alpha: adapters["A"], "stopped with TypeError"),
        (lambda adapters: None, "stopped with TypeError"),
    ],
)
def test_other_wrong_means_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["5.2"](answer)


# 5.3 The overlap ------------------------------------------------------------------------------------------------------


def overlap_row_by_row(A, old):
    total = torch.tensor(0.0)
    for each in old:
        for row in each:
            for new in A:
                total = total + torch.dot(row, new) ** 2
    return total


def overlap_of_all_at_once(A, old):
    if not old:
        return 0.0
    return torch.linalg.matrix_norm(torch.cat(old) @ A.T).pow(2)


@pytest.mark.parametrize("answer", [overlap_row_by_row, overlap_of_all_at_once])
def test_an_overlap_passes_in_other_styles(answer):
    assert EXERCISES["5.3"](answer) is answer


value = adapters.overlap.reference


def changes_an_old_one(A, old):
    for each in old:
        each /= each.norm()
    return value(A, old)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (changes_an_old_one, "in place"),
        (lambda A, old: value(A.detach(), old), "no gradient"),
        (lambda A, old: float(value(A, old).detach()), "no gradient"),
        (lambda A, old: value(A, old).detach(), "no gradient"),
        (lambda A, old: [value(A, [each]) for each in old], "stopped with"),
        (lambda A, old: 2 * value(A, old), "2 times"),
        (lambda A, old: -value(A, old), "the sign is wrong"),
        (lambda A, old: value(A, old) + 1, "where"),
        (lambda A, old: value(A, old) + A.square().sum(), "compared with itself|where"),
        (lambda A, old: value(A, old).log1p(), "where"),
        (lambda A, old: value(A, old) ** 2, "where"),
        (lambda A, old: value(A / A.norm(), old), "where"),
        (lambda A, old: value(A, [each / each.norm() for each in old]), "where"),
        (lambda A, old: value(A, old) / A.numel(), "where"),
        (lambda A, old: value(A, old) / len(A), "the squares are averaged over the rows of one"),
        (lambda A, old: value(A, [each.flip(1) for each in old]), "where"),
        (lambda A, old: value(A, [each[:1] for each in old]), "where"),
        (lambda A, old: value(A[:1], old), "where"),
        (lambda A, old: value(A, old) * math.nan, "NaN"),
        (lambda A, old: max([value(A, [each]) for each in old], default=A.sum() * 0), "largest overlap"),
        (lambda A, old: value(A, old[:1]) * len(old), "where"),
        (lambda A, old: A @ old, "stopped with TypeError"),
    ],
)
def test_other_wrong_overlaps_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["5.3"](answer)
