"""Deciding, on two examples, which parameters the hooks get right; the others are left to the loop."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from cfhelpers.fisher.data import Batch
from cfhelpers.fisher.forward import Forward
from cfhelpers.fisher.hooks import Hooks
from cfhelpers.fisher.loop import Loop
from cfhelpers.fisher.objective import Objective

logger = logging.getLogger("cfhelpers.fisher")


@dataclass(frozen=True)
class Verdict:
    """What the two examples showed.

    Attributes:
        uncovered: Parameters whose per-example gradients the hooks cannot form.
        expand: Whether look-ups made once for a whole batch may be repeated for each example.
        unreached: Parameters that none of the examples tried so far depends on: nothing is known of them.
    """

    uncovered: frozenset[str]
    expand: bool
    unreached: frozenset[str]


_known: dict[Hashable, Verdict] = {}


def verdict(forward: Forward, loop: Loop, batch: Batch, objective: Objective) -> Verdict:
    """Compare the hooks with the loop, once per class of model.

    The two examples of ``batch`` that differ most in length go through both. A parameter is left to the loop if no
    rule covers it, if its layer sees no batch dimension, if its weight is used outside of its layer, or if the two
    results differ for whatever reason.
    """
    key = _structure(forward, loop)
    if key not in _known:
        _known[key] = _compare(forward, loop, _two_examples(batch), objective)
    return _known[key]


def verdict_on(part: Loop, forward: Forward, loop: Loop, batch: Batch, objective: Objective) -> Verdict:
    """Extend the verdict to a part of the parameters, which a batch is the first to reach (an idle head, an expert)."""
    key = _structure(forward, loop)
    known, found = _known[key], _compare(forward, part, batch, objective)
    unreached = known.unreached.difference(part.parameters) | found.unreached
    _known[key] = Verdict(known.uncovered | found.uncovered, known.expand, unreached)
    return found


def leave_to_the_loop(forward: Forward, loop: Loop, reasons: dict[str, str]) -> None:
    """Extend the verdict to parameters whose layers stopped seeing one row per example in a later batch."""
    key = _structure(forward, loop)
    known = _known[key]
    _known[key] = Verdict(known.uncovered.union(reasons), known.expand, known.unreached.difference(reasons))
    _say(reasons)


def _compare(forward: Forward, loop: Loop, batch: Batch, objective: Objective) -> Verdict:
    """Find where hooks and loop differ, in the loop's own sums while they are still zero; they are zero again then."""
    scratch = Loop(forward, loop.parameters) if loop.reached else loop
    hooks = _hooked(forward, scratch, batch, objective)
    reasons = dict.fromkeys(hooks.without_rule, "there is no rule for its layer") | hooks.refused
    norms = {name: float(value.norm()) for name, value in scratch.sums.items()}
    # The loop adds to what the hooks found, taken negatively, so what remains is their difference: memory that a large
    # model would miss is saved.
    for value in scratch.sums.values():
        value.neg_()
    for parameter in loop.parameters.values():
        parameter.requires_grad_(True)
    scratch.add(batch, objective)
    for name in _differing({n: value for n, value in scratch.sums.items() if n not in reasons}, norms):
        reasons[name] = "the batched result differs from the loop's"
    _clear(scratch)
    _say(reasons)
    unreached = set(scratch.sums) - set(reasons) - hooks.reached - scratch.reached
    return Verdict(frozenset(reasons), hooks.expand, frozenset(unreached))


def _say(reasons: dict[str, str]) -> None:
    for name, reason in reasons.items():
        logger.warning("%s is estimated one example at a time, which is slower: %s.", name, reason)


def _hooked(forward: Forward, loop: Loop, batch: Batch, objective: Objective) -> Hooks:
    for expand in (True, False):
        hooks = Hooks(forward, loop.parameters, loop.sums)
        hooks.expand = expand
        try:
            with hooks.watching():
                hooks.add(batch, objective)
            return hooks
        except RuntimeError:
            # A model that repeats its look-ups itself (a soft prompt) ends up with B times B of them.
            if not expand:
                raise
            _clear(loop)
    raise AssertionError("unreachable")


def _clear(loop: Loop) -> None:
    for value in loop.sums.values():
        value.zero_()


def _differing(remainders: dict[str, Tensor], norms: dict[str, float]) -> list[str]:
    """Names whose difference is more than rounding, which is judged against the largest sum as well."""
    largest = max(norms.values(), default=0.0)
    return [name for name, value in remainders.items() if not _small(float(value.norm()), norms[name], largest)]


def _small(error: float, norm: float, largest: float) -> bool:
    return math.isfinite(error) and error <= 1e-2 * norm + 1e-6 * largest


def _two_examples(batch: Batch) -> Batch:
    if "attention_mask" not in batch.inputs or batch.inputs["attention_mask"].dim() != 2:
        return batch.rows(0, 2)
    lengths = batch.inputs["attention_mask"].sum(1)
    first, last = int(lengths.argmin()), int(lengths.argmax())
    return batch.select([first, last] if first != last else [0, 1])


def _structure(forward: Forward, loop: Loop) -> Hashable:
    """What two models must share for the same verdict: structure, trainable parameters, precision."""
    trainable = tuple((name, parameter.dtype, parameter.device.type) for name, parameter in loop.parameters.items())
    return forward.structure, trainable, torch.is_autocast_enabled(trainable[0][2])
