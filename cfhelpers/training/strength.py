"""A first guess at a penalty's strength, from where the new data would take the weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cfhelpers.evaluation.scores import model_inputs
from cfhelpers.fisher.data import padder, together
from cfhelpers.fisher.naming import unwrap_model
from cfhelpers.methods.base import trainable_parameters
from cfhelpers.models.copying import copy_model
from cfhelpers.training.precision import MOST, lost_share, what_to_do

if TYPE_CHECKING:
    from cfhelpers.methods.anchored import AnchoredMethod


def suggest_strength(
    model: nn.Module,
    method: AnchoredMethod,
    batches: Iterable[Any],
    *,
    learning_rate: float,
    steps: int = 3,
    ratio: float = 1.0,
    batch_size: int = 16,
) -> float:
    """Suggest the strength with which a penalty would hold its own against the new task.

    At the anchor every penalty's gradient is zero, so nothing can be read off there. A copy of the model therefore
    takes a few plain steps on the new data, and the two gradients are compared where it arrives: the task's, averaged
    over the batches of the probe, and the penalty's for λ = 1. The λ returned makes the penalty's ``ratio`` times as
    large as the task's.

    So it is the λ at which a penalty begins to matter, and where a sweep begins, in place of a number from another
    paper's loss; it is not the best λ. A few steps lead hardly away from the anchor, and the norms say nothing of
    directions: where the model has room to learn the new task in others than the old one needs, the best λ is larger,
    in scripts of other people's by ten to two hundred times. Sweep upwards from it, by two or three decades.

    Args:
        model: As it stands before the new task, at the anchor; not changed.
        method: With the old task protected, for instance ``EWC.from_data(model, old_batches, strength=1.0)``. Its own
            strength plays no part. Set the result with ``method.strength = …``.
        batches: Of the new data, with labels, of the size that training will use; the first ``steps`` are looked at,
            and if there are fewer, they are gone through again. Or single examples, as ``from_data`` takes them.
        learning_rate: That of the training to come: it says how far a few steps lead.
        steps: Plain AdamW steps of the probe. The more, the further it gets and the smaller λ becomes; three came
            nearest to what the sweeps of chapter 4 choose, for EWC, L2 and MAS alike (selection seeds, profile tiny).
        ratio: Wanted ratio of the gradients' norms; more keeps more of the old task and learns less of the new.
        batch_size: Of the batches that single examples are put into.

    Returns:
        λ > 0.

    Raises:
        ValueError: ``method`` protects nothing yet or does not fit the model, the importance is zero wherever the probe
            moves, the weights' precision does not resolve steps of this learning rate, there are no batches, a loss is
            not finite, or a number is out of its range.
    """
    _check(method, learning_rate, steps, ratio)
    model = unwrap_model(model)
    share = lost_share(model, learning_rate)
    if share > MOST:
        raise ValueError(what_to_do(model, share, learning_rate))
    pad = getattr(getattr(model, "config", None), "pad_token_id", None)
    found = together(batches, padder(pad if isinstance(pad, int) else 0), batch_size)
    data = [batch for batch, _ in itertools.islice(found, steps)]
    if not data:
        raise ValueError("suggest_strength needs at least one batch of the new data.")
    probe = copy_model(model).eval()  # no dropout: the same answer every time
    if not getattr(model, "is_quantized", False):
        probe = probe.float()  # half precision rounds the probe's few steps
    optimizer = torch.optim.AdamW(trainable_parameters(probe).values(), lr=learning_rate, weight_decay=0.0)
    for step in range(steps):
        optimizer.zero_grad()
        _backward(probe, data[step % len(data)], 1)
        optimizer.step()
    optimizer.zero_grad()
    for batch in data:
        _backward(probe, batch, len(data))
    gradients = [p.grad for p in trainable_parameters(probe).values() if p.grad is not None]
    task, pull = float(torch.nn.utils.get_total_norm(gradients)), method.pull_norm(probe)
    if pull == 0:
        raise ValueError(
            "the penalty does not pull at all after the probe: its importance is zero for every weight that moved. "
            "The empirical Fisher of a model that is certain of its answers is; variant='sample' is not."
        )
    return ratio * task / pull


def _backward(model: nn.Module, batch: Any, parts: int) -> None:
    loss = model(**model_inputs(model, batch), labels=batch["labels"].to(next(model.parameters()).device)).loss
    if not math.isfinite(loss.item()):
        raise ValueError(f"the loss on the new data is {loss.item()}: look at labels and learning rate.")
    (loss / parts).backward()


def _check(method: AnchoredMethod, learning_rate: float, steps: int, ratio: float) -> None:
    if not getattr(method, "penalties", None):
        raise ValueError(
            "the method protects nothing yet, so there is no penalty to weigh: make it with "
            "EWC.from_data(model, old_batches, strength=1.0), or call protect(model, old_batches)."
        )
    if steps < 1 or not (learning_rate > 0 and ratio > 0 and math.isfinite(learning_rate * ratio)):
        raise ValueError(
            f"steps must be at least 1, learning_rate and ratio positive, got {steps}, {learning_rate} and {ratio}."
        )
