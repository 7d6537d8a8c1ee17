"""Weights kept in half precision: whether a step of the optimizer is larger than what they can tell apart."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from cfhelpers.methods.base import trainable_parameters

MOST = 0.5  # of the weights may stand still


def lost_share(model: nn.Module, learning_rate: float) -> float:
    """Return the share of trainable weights that a step of the size of the learning rate would not move.

    Adam's steps have about that size. A step is rounded away where it is below half of the distance between a weight
    and its neighbour: in bfloat16 that is 1/256 to 1/512 of the weight.

    Args:
        model: Of any precision; in float32 the share is practically 0.
        learning_rate: The largest that the training will have.
    """
    lost = total = 0
    for parameter in trainable_parameters(model).values():
        total += parameter.numel()
        if torch.finfo(parameter.dtype).bits > 16:
            continue
        exponent = torch.frexp(parameter.detach().float().abs()).exponent  # |w| lies in [2^(e-1), 2^e)
        neighbour = torch.exp2(exponent.float() - 1) * torch.finfo(parameter.dtype).eps
        neighbour.masked_fill_(parameter == 0, 0.0)  # from zero, every step leads somewhere
        lost += int((neighbour / 2 > learning_rate).sum())
    return lost / total


def what_to_do(model: nn.Module, share: float, learning_rate: float) -> str:
    """Say what is lost and how to keep it."""
    dtypes = {str(p.dtype).removeprefix("torch.") for p in trainable_parameters(model).values()}
    return (
        f"the trainable weights are kept in {' and '.join(sorted(dtypes))}, where a step of the learning rate "
        f"{learning_rate:g} is rounded away for {share:.0%} of them: they do not move, and no penalty pulls. Load the "
        "model in float32 (from_pretrained(…, dtype=torch.float32); bf16=True keeps the speed), or take a larger rate."
    )


def require_finite_norm(model: nn.Module) -> None:
    """Refuse to step along gradients kept in float16 whose norm is more than float16 can tell.

    Clipping would divide by an infinite norm and leave zeros, and without it the weights would become NaN.

    Args:
        model: After the last backward pass of a step, without a gradient scaler.

    Raises:
        ValueError: The norm is not finite.
    """
    gradients = [p.grad for p in trainable_parameters(model).values() if p.grad is not None]
    if any(each.dtype == torch.float16 for each in gradients):
        norm = torch.nn.utils.get_total_norm(gradients)
        if not bool(torch.isfinite(norm)):
            raise ValueError(
                f"the gradient's norm is {float(norm)}: weights kept in float16 have gradients of at most 65504, their "
                "norm included, and this step would lose the weights or not move them. Keep the weights in float32 "
                "(model.float(), with fp16=True or bf16=True for speed) or in bfloat16, or lower the method's strength "
                "or weights."
            )


def warn_of_lost_steps(model: nn.Module, learning_rate: float) -> None:
    """Warn if most weights would not move: a penalty of zero would look like perfect protection."""
    share = lost_share(model, learning_rate)
    if share > MOST:
        warnings.warn(what_to_do(model, share, learning_rate), stacklevel=3)
