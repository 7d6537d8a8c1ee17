"""What is measured of a text as a whole: perplexity."""

from __future__ import annotations

import math


def perplexity(total_nats: float, total_tokens: int) -> float:
    """Return the perplexity exp(total nats / total tokens) of a text.

    Collect both totals over the whole text first. The mean of the perplexities of its batches is another, larger
    number, and it depends on the batch size.

    Args:
        total_nats: Negative log-likelihood in nats, summed over every predicted token.
        total_tokens: Number of predicted tokens.

    Returns:
        The perplexity, at least 1; infinite where it exceeds the largest float.

    Raises:
        ValueError: There are no tokens, or the nats are negative or NaN.
    """
    if total_tokens <= 0:
        raise ValueError(f"perplexity needs at least one predicted token, got {total_tokens}")
    if not total_nats >= 0:
        raise ValueError(f"a negative log-likelihood cannot be {total_nats} nats")
    try:
        return math.exp(total_nats / total_tokens)
    except OverflowError:
        return math.inf
