"""Learned vectors in place of token embeddings, and where they are put among those of a text."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SoftPrompt(nn.Module):
    """P vectors of width D that stand where embeddings of tokens would.

    With a ``bottleneck`` the vectors are learned as P + MLP(P), MLP being linear, ReLU, linear, layer norm (the
    residual reparametrisation of Razdaibiedina et al., 2023, section 3), which :meth:`fold` replaces by its result. The
    layer norm's gain starts at the vectors' own spread, so that the residual does not drown them.

    Args:
        vectors: First values, shape ``[P, D]``; copied.
        bottleneck: Width of the MLP's hidden layer; None learns the vectors themselves.
        generator: Source of the MLP's first weights.

    Raises:
        ValueError: ``vectors`` is not a matrix with at least one row.
    """

    def __init__(
        self, vectors: Tensor, *, bottleneck: int | None = None, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if vectors.dim() != 2 or len(vectors) == 0:
            raise ValueError(f"A soft prompt is a matrix [P, D] with P ≥ 1, got shape {tuple(vectors.shape)}.")
        self.vectors = nn.Parameter(vectors.detach().clone())
        self.residual: nn.Sequential | None = None
        if bottleneck is not None:
            width = vectors.shape[1]
            down, up = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)
            for layer in (down, up):
                nn.init.xavier_uniform_(layer.weight, generator=generator)
                nn.init.zeros_(layer.bias)
            norm = nn.LayerNorm(width)
            nn.init.constant_(norm.weight, float(vectors.detach().float().std(correction=0)))
            self.residual = nn.Sequential(down, nn.ReLU(), up, norm).to(vectors.device, vectors.dtype)

    def __len__(self) -> int:
        """Return the number of vectors P."""
        return len(self.vectors)

    def forward(self) -> Tensor:
        """Return the vectors that the model reads, shape ``[P, D]``."""
        return self.vectors if self.residual is None else self.vectors + self.residual(self.vectors)

    def fold(self) -> None:
        """Keep what the reparametrisation made of the vectors, and drop it; outputs stay bitwise the same."""
        with torch.no_grad():
            self.vectors.copy_(self())
        self.residual = None


def first_real(mask: Tensor) -> Tensor:
    """Return the position of each row's first token that is not padding, shape ``[B]``; 0 where there is none."""
    return (mask != 0).long().argmax(dim=1)


def insert(rows: Tensor, piece: Tensor, starts: Tensor) -> Tensor:
    """Put one piece into every row.

    Args:
        rows: Shape ``[B, T, …]``.
        piece: Shape ``[P, …]``.
        starts: Shape ``[B]``: the piece stands before what was at this position; T puts it at the end.

    Returns:
        Shape ``[B, T + P, …]``.
    """
    places = starts.clamp(max=rows.shape[1]).tolist()
    if len(set(places)) == 1:
        start = places[0]
        return torch.cat([rows[:, :start], piece.expand(len(rows), *piece.shape), rows[:, start:]], dim=1)
    return torch.stack([torch.cat([row[:start], piece, row[start:]]) for row, start in zip(rows, places, strict=True)])


def remove(rows: Tensor, length: int, starts: Tensor) -> Tensor:
    """Take out of every row what ``insert`` put there; rows ``[B, T + P, …]``, returns ``[B, T, …]``."""
    places = starts.clamp(max=rows.shape[1] - length).tolist()
    if len(set(places)) == 1:
        start = places[0]
        return torch.cat([rows[:, :start], rows[:, start + length :]], dim=1)
    return torch.stack(
        [torch.cat([row[:start], row[start + length :]]) for row, start in zip(rows, places, strict=True)]
    )
