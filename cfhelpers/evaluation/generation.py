"""What a language model writes by itself: texts to remember it by when its training data are gone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cfhelpers.evaluation.scores import evaluating
from cfhelpers.tasks.encoding import IGNORED, Batch

BATCH_SIZE = 64


def own_texts(
    model: nn.Module, count: int, *, length: int = 64, seed: int = 0, start: Sequence[int] | None = None
) -> list[Batch]:
    """Let a causal language model write texts, each token drawn from all that it predicts.

    A text begins after an end-of-sequence token and ends with one, or where ``length`` is reached. Nothing is left out
    of the draw (no top-k, temperature 1), so the texts are a sample of what the model believes, and the empirical
    Fisher of these texts estimates the Fisher information of the model's own distribution.

    Args:
        model: A causal language model with ``generate``; its mode and the random state are restored.
        count: Texts to write.
        length: Longest text in tokens, its beginning included.
        seed: Of the draws.
        start: Ids that every text begins with, in place of the end-of-sequence token: where a chat model's user
            speaks, for instance.

    Returns:
        Batches with ``input_ids``, ``attention_mask`` and ``labels`` [B, T] that are −100 after a text's end.

    Raises:
        ValueError: ``count`` is below 1, ``length`` leaves nothing to write, or the model does not say how a text ends.
    """
    if count < 1 or length < 1 + len(start or [0]):
        raise ValueError(
            f"own_texts needs at least one text of at least one token beyond its beginning, got {count} of {length}."
        )
    end = getattr(model.config, "eos_token_id", None)
    if not isinstance(end, int):
        raise ValueError(f"model.config.eos_token_id must be one token with which a text ends, got {end!r}.")
    device = next(model.parameters()).device
    batches = []
    with evaluating(model), torch.random.fork_rng():
        torch.manual_seed(seed)
        for done in range(0, count, BATCH_SIZE):
            first = torch.tensor([list(start or [end])] * min(BATCH_SIZE, count - done), device=device)
            ids = model.generate(  # pyright: ignore[reportCallIssue]  # a method, typed Tensor | Module by nn.Module
                input_ids=first,
                attention_mask=torch.ones_like(first),
                max_new_tokens=length - first.shape[1],
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                eos_token_id=end,
                pad_token_id=end,
            )
            batches.append(_until_the_end(ids, end))
    return batches


def _until_the_end(ids: Tensor, end: int) -> Batch:
    """Mask what stands after the first end-of-sequence token that was written; the one at the start is a prompt."""
    written = (ids[:, 1:] == end).long()
    real = torch.cat([torch.ones_like(ids[:, :1]), ((written.cumsum(dim=1) - written) == 0).long()], dim=1)
    return {"input_ids": ids, "attention_mask": real, "labels": torch.where(real == 1, ids, IGNORED)}
