"""How coherent a model's replies are: two counts that need no model.

Both split replies at white space and ignore case. They catch a model that repeats itself, not one that talks nonsense
fluently: read them beside the perplexity of the replies under a model that was left alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def distinct(replies: Sequence[str], n: int = 2) -> float:
    """Return the share of different n-grams among all n-grams of all replies.

    This is distinct-n (Li et al., 2016).

    Args:
        replies: One string per reply. The share falls as more replies are counted together: compare equal numbers.
        n: Words in a row, at least 1.

    Returns:
        A number in (0, 1]; 1 if no n-gram occurs twice. NaN if every reply is shorter than ``n`` words.

    Raises:
        ValueError: ``n`` is less than 1, or ``replies`` is one string.
    """
    grams = [gram for reply in _grams(replies, n) for gram in reply]
    return len(set(grams)) / len(grams) if grams else math.nan


def repetition(replies: Sequence[str], n: int = 2) -> float:
    """Return the share of n-grams of a reply that it has already said, mean over replies.

    This is seq-rep-n (Welleck et al., 2020).

    Args:
        replies: One string per reply; those shorter than ``n`` words are left out.
        n: Words in a row, at least 1.

    Returns:
        A number in [0, 1); 0 if no reply repeats itself. NaN if every reply is shorter than ``n`` words.

    Raises:
        ValueError: ``n`` is less than 1, or ``replies`` is one string.
    """
    shares = [1 - len(set(grams)) / len(grams) for grams in _grams(replies, n) if grams]
    return math.fsum(shares) / len(shares) if shares else math.nan


def _grams(replies: Sequence[str], n: int) -> list[list[tuple[str, ...]]]:
    """Return the n-grams of each reply."""
    if isinstance(replies, str):
        raise ValueError("replies must be a list of strings, not one string")
    if n < 1:
        raise ValueError(f"an n-gram has at least one word, got n = {n}")
    words = [reply.lower().split() for reply in replies]
    return [[tuple(reply[i : i + n]) for i in range(len(reply) - n + 1)] for reply in words]
