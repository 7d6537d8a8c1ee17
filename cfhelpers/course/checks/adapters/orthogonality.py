"""Exercise 5.3: how far a new update's subspace is from orthogonal to the old ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cfhelpers.course.checks.adapters.matrices import factors, untouched
from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number

# Rank of the new one, inputs, ranks of the old ones.
_CASES = {
    "one old adapter": (3, 5, (3,)),
    "two old adapters": (2, 6, (2, 2)),
    "no old adapter": (2, 4, ()),
    "three old adapters": (3, 7, (3, 3, 3)),
}


def _examine(answer: Callable[..., Any]) -> Numbers:
    found = {}
    for seed, (name, (rank, inputs, ranks)) in enumerate(_CASES.items()):
        new = factors(40 + seed, rank, inputs, 1)[0].requires_grad_()
        # Neither the first nor the last is always the largest.
        old = [(1 + index % 2) * factors(50 + 10 * seed + index, r, inputs, 1)[0] for index, r in enumerate(ranks)]
        value = untouched(answer, [new.detach(), *old], new, list(old))
        if old and not (isinstance(value, Tensor) and value.requires_grad):
            number(value, f"the overlap with {name}")
            raise CheckFailed(
                "the overlap has no gradient, so it cannot push the new A anywhere. Return a tensor computed from A, "
                "without .item(), float(), .detach() or torch.no_grad()."
            )
        found[f"the overlap with {name}"] = number(value, f"the overlap with {name}")
        if old:
            (gradient,) = torch.autograd.grad(value, new)
            found[f"the gradient of the overlap with {name}"] = gradient.double().numpy()
    return found


def _reference(A: Tensor, old: list[Tensor]) -> Tensor:
    return sum(((each @ A.T).square().sum() for each in old), torch.zeros(()))


def _other(term: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, list[Tensor]], Tensor]:
    """Add up something else over the old adapters."""
    return lambda A, old: sum((term(A, each) for each in old), torch.zeros(()))


def _mean(A: Tensor, old: list[Tensor]) -> Tensor:
    return _reference(A, old) / max(len(old), 1)


def _only(index: int) -> Callable[[Tensor, list[Tensor]], Tensor]:
    return lambda A, old: _reference(A, old[index:][:1])


def _summed_first(A: Tensor, old: list[Tensor]) -> Tensor:
    return (torch.stack(old).sum(dim=0) @ A.T).square().sum() if old else torch.zeros(())


def _root(A: Tensor, old: list[Tensor]) -> Tensor:
    return _reference(A, old).sqrt() if old else torch.zeros(())


def _with_itself(A: Tensor, old: list[Tensor]) -> Tensor:
    return _reference(A, [*old, A])


overlap = Exercise(
    number="5.3",
    reread="A corner for each task",
    verified="all products of rows are squared and added up over all old adapters, and the gradient reaches the new A",
    reference=_reference,
    library=_reference,
    examine=_examine,
    mistakes=[
        Mistake("the absolute values are added up, not the squares.", _other(lambda A, each: (each @ A.T).abs().sum())),
        Mistake(
            "the products are added up without squares, so that positive and negative ones cancel.",
            _other(lambda A, each: (each @ A.T).sum()),
        ),
        Mistake(
            "the sum of the products is squared. Square each product, then add up.",
            _other(lambda A, each: (each @ A.T).sum().square()),
        ),
        Mistake(
            "the squares are averaged over the entries, not added up.",
            _other(lambda A, each: (each @ A.T).square().mean()),
        ),
        Mistake("the norm of each product is taken without its square.", _other(lambda A, each: (each @ A.T).norm())),
        Mistake("the root of the whole is taken. The loss is the sum of squares itself.", _root),
        Mistake("the squares are averaged over the old adapters, not added up.", _mean),
        Mistake("only the last old adapter counts. Add up over all of them.", _only(-1)),
        Mistake("only the first old adapter counts. Is there a return inside the loop?", _only(0)),
        Mistake(
            "the old matrices are added up before the product is squared, so that one can hide the other.",
            _summed_first,
        ),
        Mistake(
            "the new A is compared with itself too, which can never be orthogonal. Only the old ones count.",
            _with_itself,
        ),
        Mistake(
            "Aᵢᵀ A is taken where Aᵢ Aᵀ is right: rows of A span what it reads, so rows are multiplied with rows.",
            _other(lambda A, each: (each.T @ A).square().sum()),
        ),
        Mistake(
            "entries are multiplied one by one. Every old row has to be multiplied with every new row: Aᵢ Aᵀ.",
            _other(lambda A, each: (each * A).square().sum()),
        ),
        Mistake(
            "each row is compared only with the row of the same number. Every old row counts with every new one.",
            _other(lambda A, each: (each * A).sum(dim=1).square().sum()),
        ),
        Mistake(
            "that is the distance of the matrices, not the overlap of what they span.",
            _other(lambda A, each: (each - A).square().sum()),
        ),
        Mistake(
            "an old adapter's rows are summed before the products, so that they can cancel. Multiply every old row "
            "with every new row.",
            _other(lambda A, each: (each.sum(0) @ A.T).square().sum()),
        ),
        Mistake(
            "the new A's rows are summed before the products, so that they can cancel.",
            _other(lambda A, each: (each @ A.sum(0)).square().sum()),
        ),
        Mistake(
            "the squares are averaged over the rows of one side. Add up over all of them.",
            _other(lambda A, each: (each @ A.T).square().mean(1).sum()),
        ),
        Mistake(
            "rows are brought to length 1 first: these are cosines. The loss takes the rows as they are.",
            _other(lambda A, each: (nn.functional.normalize(each) @ nn.functional.normalize(A).T).square().sum()),
        ),
        Mistake(
            "the largest product alone is squared. Add up the squares of all of them.",
            _other(lambda A, each: (each @ A.T).abs().max().square()),
        ),
        Mistake(
            "the products are taken to the fourth power: squared, and squared again.",
            _other(lambda A, each: (each @ A.T).square().square().sum()),
        ),
        Mistake("the sign is wrong: overlap is to be punished.", lambda A, old: -_reference(A, old)),
        Mistake(
            "the old adapters' sums are multiplied, not added.",
            lambda A, old: torch.stack([(x @ A.T).square().sum() for x in old]).prod() if old else torch.zeros(()),
        ),
        Mistake(
            "the first old adapter is left out. Add up over all of them.",
            lambda A, old: _reference(A, old[1:]) if len(old) > 1 else _reference(A, old),
        ),
        Mistake(
            "the new A's own rows are asked to be orthonormal as well, (A Aᵀ − 1)². Only the overlap with old ones "
            "counts.",
            lambda A, old: _reference(A, old) + (A @ A.T - torch.eye(len(A))).square().sum(),
        ),
        Mistake("there is a ½ too many.", _other(lambda A, each: (each @ A.T).square().sum() / 2)),
        Mistake(
            "only the old adapter with the largest overlap counts. Add up over all of them.",
            lambda A, old: torch.stack([_reference(A, [each]) for each in old]).max() if old else torch.zeros(()),
        ),
        Mistake(
            "only the old adapter with the smallest overlap counts. Add up over all of them.",
            lambda A, old: torch.stack([_reference(A, [each]) for each in old]).min() if old else torch.zeros(()),
        ),
        Mistake(
            "the matrices are taken as one long vector each, and their product is squared. Every old row has to be "
            "multiplied with every new row.",
            _other(lambda A, each: (each * A).sum().square()),
        ),
        Mistake(
            "the cosine of the two matrices, as one long vector each, is squared. Every old row has to be multiplied "
            "with every new row.",
            _other(lambda A, each: nn.functional.cosine_similarity(each.flatten(), A.flatten(), dim=0).square()),
        ),
        Mistake(
            "the squares of the two matrices are summed and then multiplied. Multiply rows with rows, then square.",
            _other(lambda A, each: each.square().sum() * A.square().sum()),
        ),
    ],
)
