"""Answers to the exercises of chapter 5, each a whole function or class.

Beside a wrong one stands what the check has to say of it; nothing where it only has to be rejected.
"""

# Learners write as they like.
# ruff: noqa

import torch

from tests.course.answers.whole import right, wrong


@right("5.1")  # einsum
def low_rank_update(A, B, alpha, conv1d):
    return torch.einsum("or,ri->io" if conv1d else "or,ri->oi", B, A) * (alpha / len(A))


@right("5.1")  # rank by rank
def low_rank_update(A, B, alpha, conv1d):
    update = sum(torch.outer(B[:, k], A[k]) for k in range(len(A))).mul(alpha).div(len(A))
    return update.t().contiguous() if conv1d else update


@right("5.2")  # all factors beside each other
def mean_of_updates(adapters, alpha):
    joined = torch.cat([B for _, B in adapters], 1) @ torch.cat([A for A, _ in adapters])
    return alpha / adapters[0][0].shape[0] / len(adapters) * joined


@right("5.3")  # a norm, squared, of each
def overlap(A, old):
    return sum((torch.linalg.matrix_norm(each @ A.T) ** 2 for each in old), torch.tensor(0.0))


@wrong("5.1", "the update is reshaped where it should be transposed")
def low_rank_update(A, B, alpha, conv1d):
    update = alpha / len(A) * (B @ A)
    return update.reshape(update.shape[1], update.shape[0]) if conv1d else update


@wrong("5.2", "the sum is divided by 2, however many adapters there are")
def mean_of_updates(adapters, alpha):
    return sum(alpha / len(A) * B @ A for A, B in adapters) / 2


@wrong("5.3", "only the old adapter with the largest overlap counts")
def overlap(A, old):
    return max(((each @ A.T) ** 2).sum() for each in old) if old else torch.zeros(())


@wrong("5.3", "the overlap has no gradient")
def overlap(A, old):
    return sum(((each @ A.detach().T) ** 2).sum() for each in old)
