"""Exercise 4.3: the running importance of online EWC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, tensors
from cfhelpers.fisher import Importance

Fisher = dict[str, Tensor]


def _cases() -> dict[str, tuple[list[Fisher], float]]:
    """Three tasks that share all weights, and two with a head of their own each."""
    generator = torch.Generator().manual_seed(21)

    def drawn(*names: str) -> Fisher:
        return {name: torch.rand(2, 3, generator=generator) + 0.1 for name in names}

    return {
        "three tasks": ([drawn("body") for _ in range(3)], 0.7),
        "a head of its own": ([drawn("body", "head one"), drawn("body", "head two")], 0.4),
        "four tasks": ([drawn("first", "second"), drawn("first"), drawn("first", "third"), drawn("first")], 0.8),
    }


def _examine(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case, (fishers, decay) in _cases().items():
        given = [dict(fisher) for fisher in fishers]
        before = [{name: tensor.clone() for name, tensor in fisher.items()} for fisher in fishers]
        total = _asked(answer, given, decay)
        found = tensors(total, "the importance")
        _require_every_name(found, fishers)
        if any(given[i].keys() != before[i].keys() for i in range(len(before))) or any(
            not torch.equal(given[i][name], before[i][name]) for i in range(len(before)) for name in before[i]
        ):
            raise CheckFailed(
                "your code changed the Fishers it was given: total[name] += … writes into the first task's tensors. "
                "Make a new tensor: total[name] = decay * total[name] + …"
            )
        right = _right(given, decay)
        if all(name in total and total[name].shape == right[name].shape for name in right) and all(
            torch.allclose(total[name].float(), right[name], rtol=1e-3) for name in right
        ):
            _require_new_tensors(total, given)
        numbers |= {f"{case}: {name}": array for name, array in found.items()}
    return numbers


def _asked(answer: Callable[..., Any], fishers: list[Fisher], decay: float) -> Any:
    try:
        return answer(fishers, decay)
    except KeyError as error:
        name = error.args[0] if error.args else None
        having = [task for task, fisher in enumerate(fishers, start=1) if name in fisher]
        if having and len(having) < len(fishers):
            raise CheckFailed(
                f"your code stopped with KeyError: {name!r}, a weight that not every task has: of {len(fishers)} tasks "
                f"here task {having[0]} is the first that does. Begin its sum there, and only decay it where a task "
                "lacks it."
            ) from error
        raise


def _require_every_name(found: Numbers, fishers: list[Fisher]) -> None:
    """Raise CheckFailed if a weight is lost that only some of the tasks have."""
    for task, fisher in enumerate(fishers, start=1):
        if lost := sorted(set(fisher) - set(found)):
            if set(found) == set(fishers[0]) and all(np.allclose(found[n], x.numpy()) for n, x in fishers[0].items()):
                raise CheckFailed(
                    f"what comes back is the first task's Fisher alone; {lost[0]!r}, which task {task} has, is "
                    "missing. Is there a return inside the loop?"
                )
            raise CheckFailed(
                f"{lost[0]!r} is missing: task {task} of {len(fishers)} has that weight, though not every task does. "
                "Every name that any task has stays, decayed where a later task lacks it."
            )


def _require_new_tensors(total: Fisher, fishers: list[Fisher]) -> None:
    """Raise CheckFailed if a result is one of the tensors that were given."""
    memory = {tensor.data_ptr() for fisher in fishers for tensor in fisher.values()}
    for name, tensor in total.items():
        if tensor.data_ptr() in memory:
            raise CheckFailed(
                f"the importance of {name!r} is a task's own tensor, so that what changes the one later changes both. "
                "Make a new tensor for every name: .clone() where there is nothing to add."
            )


def _weighted(weight: Callable[[int, int, float], float]) -> Callable[[list[Fisher], float], Fisher]:
    """Return Σ weight(t, T, γ) F_t, every name with the tasks that have it."""

    def answer(fishers: list[Fisher], decay: float) -> Fisher:
        total: Fisher = {}
        for task, fisher in enumerate(fishers):
            for name, tensor in fisher.items():
                total[name] = total.get(name, 0.0) + weight(task, len(fishers), decay) * tensor
        return total

    return answer


def _library(fishers: list[Fisher], decay: float) -> Fisher:
    total = Importance(fishers[0], n_examples=1, variant="sample")
    for fisher in fishers[1:]:
        absent = {name: torch.zeros_like(tensor) for name, tensor in total.items() if name not in fisher}
        total = total.accumulate(Importance({**fisher, **absent}, n_examples=1, variant="sample"), decay)
    return dict(total)


def _undecayed_where_absent(
    join: Callable[[Tensor, Tensor, float], Tensor],
    begin: Callable[[Tensor, float], Tensor] = lambda new, decay: new,
) -> Callable[[list[Fisher], float], Fisher]:
    """Return an answer that goes through the new task's names alone, joins old and new, and begins with ``begin``."""

    def answer(fishers: list[Fisher], decay: float) -> Fisher:
        total: Fisher = {}
        for fisher in fishers:
            total |= {
                name: join(total[name], tensor, decay) if name in total else begin(tensor, decay)
                for name, tensor in fisher.items()
            }
        return total

    return answer


def _joined(join: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[[list[Fisher], float], Fisher]:
    """Return an answer that joins old and new tensors some other way."""

    def answer(fishers: list[Fisher], decay: float) -> Fisher:
        total: Fisher = {}
        for fisher in fishers:
            total = {name: decay * tensor for name, tensor in total.items() if name not in fisher} | {
                name: join(total[name], tensor, decay) if name in total else tensor for name, tensor in fisher.items()
            }
        return total

    return answer


_right = _weighted(lambda t, T, decay: decay ** (T - 1 - t))

online_importance = Exercise(
    number="4.3",
    reread="Three domains: one spring or one for each?",
    verified="the old sum is decayed before each new Fisher is added, also where a task has no such weight",
    reference=_right,
    library=_library,
    examine=_examine,
    mistakes=[
        Mistake("nothing is decayed. Multiply the old sum by γ.", _weighted(lambda t, T, decay: 1.0)),
        Mistake(
            "the newest Fisher is decayed, not the old sum. F* ← γ F* + F.",
            _weighted(lambda t, T, decay: decay if t else 1.0),
        ),
        Mistake(
            "the newest Fisher is decayed, not the old sum. F* ← γ F* + F.",
            _undecayed_where_absent(lambda old, new, decay: old + decay * new),
        ),
        *(
            Mistake(
                "the newest Fisher is decayed as well, and a weight that the new task does not have is not decayed at "
                "all. Everything old is decayed, the new Fisher is not.",
                _undecayed_where_absent(lambda old, new, decay: decay * (old + new), begin),
            )
            for begin in (lambda new, decay: new, lambda new, decay: decay * new)
        ),
        *(
            Mistake(
                "this is a moving average that begins with a whole Fisher: a later one is multiplied by 1 − γ. Online "
                "EWC adds every Fisher whole.",
                made(lambda old, new, decay: decay * old + (1 - decay) * new),
            )
            for made in (_joined, _undecayed_where_absent)
        ),
        Mistake(
            "every Fisher is decayed once, the newest too, and the old sum never. F* ← γ F* + F.",
            _weighted(lambda t, T, decay: decay),
        ),
        Mistake(
            "the newest Fisher is decayed as well. F* ← γ F* + F, not γ (F* + F).",
            _weighted(lambda t, T, decay: decay ** (T - t) if t else decay ** (T - 1)),
        ),
        Mistake(
            "the newest Fisher is decayed as well, from the first task on. F* ← γ F* + F.",
            _weighted(lambda t, T, decay: decay ** (T - t)),
        ),
        Mistake(
            "the decay runs the wrong way: the newest task counts least. The power of γ is the number of tasks since.",
            _weighted(lambda t, T, decay: decay**t),
        ),
        Mistake(
            "the old sum is multiplied by 1 − γ. γ is what is kept of it: F* ← γ F* + F.",
            _weighted(lambda t, T, decay: (1 - decay) ** (T - 1 - t)),
        ),
        Mistake(
            "old and new changed places: the new Fisher is multiplied by γ, the old sum by 1 − γ. F* ← γ F* + F.",
            _weighted(lambda t, T, decay: (1 - decay) ** (T - 1 - t) * (decay if t else 1.0)),
        ),
        Mistake(
            "only the first task counts: is there a return inside the loop?",
            lambda fishers, decay: _weighted(lambda t, T, decay: float(t == 0))(fishers, decay),
        ),
        Mistake(
            "the Fishers are divided by γ. The old sum is multiplied by it.",
            _weighted(lambda t, T, decay: decay ** -(T - 1 - t)),
        ),
        Mistake(
            "this is a moving average: the new Fisher is multiplied by 1 − γ. Online EWC adds it whole.",
            _weighted(lambda t, T, decay: decay ** (T - 1 - t) * ((1 - decay) if t else 1.0)),
        ),
        Mistake(
            "this is a moving average that starts at zero. Online EWC adds every Fisher whole.",
            _weighted(lambda t, T, decay: decay ** (T - 1 - t) * (1 - decay)),
        ),
        Mistake(
            "each old task is decayed only once. The whole old sum is multiplied by γ at every new task.",
            _weighted(lambda t, T, decay: decay if t < T - 1 else 1.0),
        ),
        Mistake(
            "only the newest task counts. Add its Fisher to γ times the old sum.",
            _weighted(lambda t, T, decay: 1.0 if t == T - 1 else 0.0),
        ),
        Mistake(
            "only the newest two tasks count. F* is a running sum over all.",
            _weighted(lambda t, T, decay: decay ** (T - 1 - t) if t >= T - 2 else 0.0),
        ),
        Mistake("this is the mean over the tasks. It is a decayed sum.", _weighted(lambda t, T, decay: 1 / T)),
        Mistake(
            "the decayed sum was divided by the number of tasks. A sum is meant: the penalty grows with what there is "
            "to protect.",
            _weighted(lambda t, T, decay: decay ** (T - 1 - t) / T),
        ),
        Mistake(
            "the decayed sum was divided by the sum of its weights. A sum is meant: the penalty grows with what there "
            "is to protect.",
            _weighted(lambda t, T, decay: decay ** (T - 1 - t) / sum(decay**k for k in range(T))),
        ),
        Mistake(
            "the sum is divided by 1 + γ at every task. Nothing is normalised: F* ← γ F* + F.",
            _weighted(lambda t, T, decay: decay ** (T - 1 - t) / (1 + decay) ** (T - t)),
        ),
        Mistake(
            "a weight that the new task does not have, such as the old head, is not decayed. Everything old is.",
            _undecayed_where_absent(lambda old, new, decay: decay * old + new),
        ),
        Mistake(
            "old and new were multiplied. They are added: a weight matters if it matters to either task.",
            _joined(lambda old, new, decay: decay * old * new),
        ),
        Mistake(
            "the power of γ is twice the number of tasks since: the old sum is decayed twice, or γ squared.",
            _weighted(lambda t, T, decay: decay ** (2 * (T - 1 - t))),
        ),
        Mistake(
            "the root of γ is taken. The whole old sum is multiplied by γ at every new task.",
            _weighted(lambda t, T, decay: decay ** ((T - 1 - t) / 2)),
        ),
        Mistake(
            "γ is multiplied by the number of tasks since. It is raised to that power.",
            _weighted(lambda t, T, decay: decay * (T - 1 - t) if t < T - 1 else 1.0),
        ),
        Mistake(
            "γ is divided by the number of tasks since. It is raised to that power.",
            _weighted(lambda t, T, decay: decay / (T - 1 - t) if t < T - 1 else 1.0),
        ),
        Mistake(
            "the first task is left out. F* begins with its Fisher.",
            _weighted(lambda t, T, decay: decay ** (T - 1 - t) if t else 0.0),
        ),
        Mistake(
            "the first task is counted twice: F* began with its Fisher, and the loop added it again.",
            _weighted(lambda t, T, decay: decay ** (T - 1 - t) if t else decay ** (T - 1) + decay**T),
        ),
        Mistake(
            "the last task is left out. Add every task's Fisher.",
            _weighted(lambda t, T, decay: decay ** (T - 2 - t) if t < T - 1 else 0.0),
        ),
        Mistake(
            "the new Fisher is multiplied by 1 − γ and the old sum is not decayed. F* ← γ F* + F.",
            _weighted(lambda t, T, decay: (1 - decay) if t else 1.0),
        ),
        Mistake(
            "the last task's Fisher was added twice.",
            _weighted(lambda t, T, decay: decay ** (T - 1 - t) if t < T - 1 else 2.0),
        ),
        Mistake("the larger of the two was taken. They are added.", _joined(lambda o, n, d: torch.maximum(d * o, n))),
    ],
)
