"""How far a student's predictions are from a teacher's: the Kullback–Leibler divergence at every target."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from cfhelpers.evaluation.scores import evaluating
from cfhelpers.tasks.encoding import IGNORED, Batch

Direction = Literal["forward", "reverse"]
"""Forward: KL(teacher ‖ student), which punishes what the student leaves out. Reverse: KL(student ‖ teacher), which
punishes what it makes up."""

SMALLEST = 1e-9
"""Probability below which what is outside the kept outcomes counts as this much, so that its logarithm is finite."""


def check_settings(strength: float, temperature: float, direction: str) -> None:
    """Refuse what no distillation can work with.

    Raises:
        ValueError: A negative or infinite strength, a temperature that is not positive and finite, or an unknown
            direction.
    """
    if not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"strength must be a finite number ≥ 0, got {strength}.")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a finite number > 0, got {temperature}.")
    if direction not in get_args(Direction):
        raise ValueError(f"direction must be one of {', '.join(get_args(Direction))}, got {direction!r}.")


def is_target(labels: Tensor) -> Tensor:
    """Return where something is predicted: [B, T−1] of the logits of a causal model, [B] of a classifier's."""
    return (labels[:, 1:] if labels.dim() > 1 else labels) != IGNORED


def target_logits(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logits that predict a target, and no others.

    Args:
        logits: Shape ``[B, T, V]``, those at t predicting token t + 1, or ``[B, C]``.
        labels: Shape ``[B, T]`` or ``[B]``; −100 is no target.

    Returns:
        Shape ``[N, V]`` or ``[N, C]``, row by row of the batch.
    """
    return (logits[:, :-1] if labels.dim() > 1 else logits)[is_target(labels)]


def predictions(model: nn.Module, inputs: Batch, logits: Tensor | None, heads: list[str] | None) -> list[Tensor]:
    """Return what a model predicts for a batch, once for each distribution that is to be kept.

    Args:
        model: A causal language model, a classifier, or one with several heads.
        inputs: With labels.
        logits: Of this batch, where a forward has been made already; None makes one.
        heads: Names of the heads to ask, of a classifier that has several; None asks for the logits as they are.

    Returns:
        For each head ``[N, C]``; without heads one tensor, as ``target_logits`` gives it.
    """
    model = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    labels, without_labels = inputs["labels"], {name: tensor for name, tensor in inputs.items() if name != "labels"}
    if heads is None:
        return [target_logits(model(**without_labels).logits if logits is None else logits, labels)]
    features = model.features(**{name: tensor for name, tensor in without_labels.items() if name != "task_ids"})  # pyright: ignore[reportCallIssue]  # MultiTaskClassifier's method
    chosen: nn.ModuleDict = model.heads  # pyright: ignore[reportAssignmentType]  # MultiTaskClassifier's
    return [chosen[name](features[is_target(labels)]) for name in heads]


def divergence(
    student: Tensor, teacher: Tensor, *, temperature: float = 1.0, direction: Direction = "forward"
) -> Tensor:
    """Return T² times the divergence of two softened predictions at each position.

    With both logits divided by T, the gradient of the divergence shrinks as 1/T²; the factor T² keeps its size the
    same for every temperature (Hinton et al., 2015, section 2.1). Nothing is averaged here: a mean over positions is
    taken by who knows how many there are in the whole optimizer step.

    Args:
        student: Logits of shape ``[N, V]``, with their graph.
        teacher: Logits of shape ``[N, V]``, without one.
        temperature: T.
        direction: "forward" or "reverse".

    Returns:
        Shape ``[N]``, in nats times T².
    """
    log_q = torch.log_softmax(student.float() / temperature, dim=-1)
    log_p = torch.log_softmax(teacher.float() / temperature, dim=-1)
    return temperature**2 * relative_entropy(log_q, log_p, direction)


def relative_entropy(log_student: Tensor, log_teacher: Tensor, direction: Direction) -> Tensor:
    """Return KL(teacher ‖ student), or the reverse, of log-probabilities ``[N, V]``: shape ``[N]``, in nats."""
    log_p, log_q = (log_teacher, log_student) if direction == "forward" else (log_student, log_teacher)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def with_rest(log_probabilities: Tensor) -> Tensor:
    """Append the logarithm of what is missing to 1: from k outcomes ``[N, k]`` to k and all others, ``[N, k+1]``."""
    rest = (1 - log_probabilities.exp().sum(dim=-1, keepdim=True)).clamp(min=SMALLEST)
    return torch.cat([log_probabilities, rest.log()], dim=-1)


def mean_divergence(
    student: nn.Module, teacher: nn.Module, batches: Iterable[Batch], *, direction: Direction = "forward"
) -> float:
    """Return how far two models' predictions are apart, in nats per target: a number to read, without a graph.

    Args:
        student: A causal language model or a classifier; its mode is restored.
        teacher: Another of the same kind.
        batches: With labels, which say where something is predicted.
        direction: "forward": KL(teacher ‖ student). "reverse": KL(student ‖ teacher).

    Raises:
        ValueError: There is no target.
    """
    total, count, device = 0.0, 0, next(student.parameters()).device
    with evaluating(student), evaluating(teacher):
        for batch in batches:
            inputs = {name: tensor.to(device) for name, tensor in batch.items()}
            ours, theirs = (predictions(model, inputs, None, None)[0] for model in (student, teacher))
            nats = divergence(ours, theirs, direction=direction)
            total, count = total + float(nats.double().sum()), count + len(nats)
    if count == 0:
        raise ValueError("there is no target in these batches, and so nothing that is predicted.")
    return total / count
