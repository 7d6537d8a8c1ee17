"""Where a model's importance sits: in which layers, which kinds of weight, which rows of the embedding."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from cfhelpers.plots.parts import COLOURS, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Part of a parameter's name, in the architectures of the course, and what it is called in the figure.
_KINDS = {
    r"wte|word_embeddings|embed_tokens": "token embedding",
    r"wpe|position_embeddings|token_type_embeddings": "position embedding",
    r"ln_|LayerNorm|norm": "normalisation",
    r"attn|attention": "attention",
    r"mlp|intermediate|output\.dense": "feed-forward",
}


def kind_of(name: str) -> str:
    """Return which kind of weight a parameter's name speaks of; heads and what else there is are "head, other"."""
    return next((kind for pattern, kind in _KINDS.items() if re.search(pattern, name)), "head, other")


def layer_of(name: str) -> str:
    """Return the layer of a parameter by its name: "layer 0" and so on, "embeddings", or "end" for what comes after."""
    if found := re.search(r"(?:^|\.)(?:h|layer|layers)\.(\d+)\.", name):
        return f"layer {found.group(1)}"
    return "embeddings" if "embedding" in kind_of(name) or "embeddings" in name else "end"


def shares(importance: Mapping[str, Tensor], group_of: Callable[[str], str]) -> dict[str, tuple[float, float]]:
    """Return, for each group of parameters, its share of the importance and its share of the parameters.

    Args:
        importance: Parameter name to importance.
        group_of: From a parameter's name to its group.

    Raises:
        ValueError: The importance is zero everywhere.
    """
    total = sum(float(each.double().sum()) for each in importance.values())
    count = sum(each.numel() for each in importance.values())
    if total == 0:
        raise ValueError("the importance is zero everywhere: it has no shares.")
    found: dict[str, tuple[float, float]] = {}
    for name, each in importance.items():
        of_total, of_count = found.get(group_of(name), (0.0, 0.0))
        found[group_of(name)] = (of_total + float(each.double().sum()) / total, of_count + each.numel() / count)
    return found


def importance_shares(
    importance: Mapping[str, Tensor], group_of: Callable[[str], str] = layer_of, ax: Axes | None = None
) -> Axes:
    """Draw each group's share of all importance beside its share of all parameters.

    Args:
        importance: Parameter name to importance.
        group_of: :func:`layer_of`, :func:`kind_of` or a function of your own.
        ax: Where to draw.
    """
    found = shares(importance, group_of)
    ax = new_axes(ax, width=4.6, height=0.5 + 0.42 * len(found))
    places = np.arange(len(found))
    for number, label in enumerate(("of the importance", "of the parameters")):
        values = [100 * each[number] for each in found.values()]
        ax.barh(places - 0.2 + 0.4 * number, values, 0.38, color=COLOURS[number], hatch=("", "//")[number], label=label)
    ax.set_yticks(places, list(found))
    ax.invert_yaxis()
    ax.set_xlabel("share (%)")
    ax.legend(loc="best", fontsize=8)
    return ax


def importance_by_token(rows: Tensor, counts: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw the importance of each token's row of the embedding against how often the token occurs.

    Args:
        rows: Importance of the embedding, ``[V, D]``.
        counts: How often each token occurs in the data, ``[V]``; tokens that never do are left out.
        ax: Where to draw.
    """
    ax = new_axes(ax, width=4.6, height=3.4)
    mean = rows.double().mean(1).cpu().numpy()
    seen = (np.asarray(counts) > 0) & (mean > 0)
    ax.loglog(np.asarray(counts)[seen], mean[seen], ".", color=COLOURS[0], alpha=0.6)
    ax.set_xlabel("occurrences in the data (log scale)")
    ax.set_ylabel("mean importance of the row (log scale)")
    return ax
