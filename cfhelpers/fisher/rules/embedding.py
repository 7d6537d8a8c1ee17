"""Embeddings of tokens, positions and segments: y = W[ids]."""

from __future__ import annotations

from torch import Tensor, nn

from cfhelpers.fisher.contributions import Contribution, Rows


def covers(module: nn.Module) -> tuple[str, ...]:
    """The table of a plain embedding; one that renormalises or rescales its gradients is left to the fallback."""
    plain = (
        isinstance(module, nn.Embedding)
        and module.max_norm is None
        and not module.scale_grad_by_freq
        and not module.sparse
    )
    return ("weight",) if plain else ()


def contributions(module: nn.Module, inputs: Tensor, gradient: Tensor) -> dict[str, Contribution]:
    """Per-example gradients from the rows touched ``[B, T]`` and output gradients ``[B, T, D]``."""
    return {"weight": Rows(inputs, gradient)}


def rows_touched(module: nn.Embedding, ids: Tensor) -> Tensor:
    """The ids, -1 where torch gives no gradient (``padding_idx``)."""
    padding = module.padding_idx
    return ids if padding is None else ids.masked_fill(ids.eq(padding), -1)
