"""Embeddings of tokens, positions and segments: y = W[ids]."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from cfhelpers.fisher.contributions import Contribution, Rows


def covers(module: nn.Module) -> tuple[str, ...]:
    """The table of a plain embedding, or of one whose output ``transformers`` multiplies by its ``embed_scale``.

    One that renormalises, rescales its gradients or has another ``forward`` of its own is left to the fallback.
    """
    plain = (
        isinstance(module, nn.Embedding)
        and (type(module).forward is nn.Embedding.forward or _is_scaled(module))
        and module.max_norm is None
        and not module.scale_grad_by_freq
        and not module.sparse
    )
    return ("weight",) if plain else ()


def contributions(module: nn.Module, inputs: Tensor, gradient: Tensor) -> dict[str, Contribution]:
    """Per-example gradients from the rows touched ``[B, T]`` and output gradients ``[B, T, D]``."""
    scale: Any = module.embed_scale if _is_scaled(module) else None
    return {"weight": Rows(inputs, gradient if scale is None else gradient * scale)}


def _is_scaled(module: nn.Module) -> bool:
    """Gemma's or BART's, known by name; whether it computes what its name says is settled by the self-check."""
    return type(module).__name__.endswith("ScaledWordEmbedding") and hasattr(module, "embed_scale")


def rows_touched(module: nn.Embedding, ids: Tensor) -> Tensor:
    """The ids, -1 where torch gives no gradient (``padding_idx``)."""
    padding = module.padding_idx
    return ids if padding is None else ids.masked_fill(ids.eq(padding), -1)
