"""What a language model writes by itself: texts to remember it by when its training data are gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cfhelpers.evaluation.scores import evaluating
from cfhelpers.tasks.encoding import IGNORED, Batch

BATCH_SIZE = 64


def own_texts(
    model: nn.Module, count: int, *, length: int = 64, seed: int = 0, start: Sequence[int] | None = None
) -> list[Batch]:
    """Let a causal language model write texts, each token drawn from all that it predicts.

    A text begins after an end-of-sequence token and ends with the first of those that the configuration or the
    generation configuration names, or where ``length`` is reached. Nothing is left out of the draw or weighted in it
    (temperature 1, no top-k, no penalty for repetition, whatever the generation configuration says), so the texts are a
    sample of what the model believes, and the empirical Fisher of these texts estimates the Fisher information of the
    model's own distribution.

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
        ValueError: ``count`` is below 1, ``length`` leaves nothing to write or is more than the model has positions, or
            the model does not say how a text ends.
    """
    if count < 1 or length < 1 + len(start or [0]):
        raise ValueError(
            f"own_texts needs at least one text of at least one token beyond its beginning, got {count} of {length}."
        )
    ends = _ends(model)
    limit = getattr(model.config, "max_position_embeddings", None)
    if isinstance(limit, int) and length > limit:
        raise ValueError(f"texts of {length} tokens are longer than the model's {limit} positions: set length={limit}.")
    device = next(model.parameters()).device
    batches = []
    with evaluating(model), torch.random.fork_rng(), _drawing_from_everything(model):
        torch.manual_seed(seed)
        for done in range(0, count, BATCH_SIZE):
            first = torch.tensor([list(start or ends[:1])] * min(BATCH_SIZE, count - done), device=device)
            ids = model.generate(  # pyright: ignore[reportCallIssue]  # a method, typed Tensor | Module by nn.Module
                input_ids=first,
                attention_mask=torch.ones_like(first),
                max_new_tokens=length - first.shape[1],
                eos_token_id=ends,
                pad_token_id=ends[0],
            )
            batches.append(_until_the_end(ids, ends))
    return batches


@contextmanager
def _drawing_from_everything(model: nn.Module) -> Iterator[None]:
    """Set the model's generation configuration aside: ``generate`` takes from it what it is not told otherwise."""
    from transformers import GenerationConfig

    base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # pyright: ignore[reportCallIssue]  # peft's method
    kept = base.generation_config
    base.generation_config = GenerationConfig(do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
    try:
        yield
    finally:
        base.generation_config = kept


def write_on(model: nn.Module, beginnings: Sequence[Sequence[int]], *, length: int) -> list[list[int]]:
    """Let a causal language model go on after each beginning, each token drawn from all that it predicts.

    Args:
        model: With ``generate``; its mode is restored. The draws are of torch's global random state.
        beginnings: Token ids, of any lengths above 0.
        length: Most tokens to write.

    Returns:
        For each beginning what was written after it, its end included where it came to one.

    Raises:
        ValueError: The model does not say how a text ends.
    """
    ends, device = _ends(model), next(model.parameters()).device
    width = max(len(beginning) for beginning in beginnings)
    rows = [[ends[0]] * (width - len(beginning)) + list(beginning) for beginning in beginnings]
    real = [[0] * (width - len(beginning)) + [1] * len(beginning) for beginning in beginnings]
    with evaluating(model), _drawing_from_everything(model):
        ids = model.generate(  # pyright: ignore[reportCallIssue]  # a method, typed Tensor | Module by nn.Module
            input_ids=torch.tensor(rows, device=device),
            attention_mask=torch.tensor(real, device=device),  # generate counts positions from it
            max_new_tokens=length,
            eos_token_id=ends,
            pad_token_id=ends[0],
        )
    written = _until_the_end(ids[:, width - 1 :], ends)
    pairs = zip(written["input_ids"], written["attention_mask"], strict=True)
    return [row[mask.bool()][1:].tolist() for row, mask in pairs]


def _ends(model: nn.Module) -> list[int]:
    """The tokens with which a text may end; the one that the configuration names first begins a text too."""
    found: list[int] = []
    for settings in (model.config, getattr(model, "generation_config", None)):
        named = getattr(settings, "eos_token_id", None)
        found += [named] if isinstance(named, int) else list(named or ())
    if not found:
        raise ValueError(
            "neither model.config.eos_token_id nor model.generation_config.eos_token_id names a token that ends a "
            "text: set one."
        )
    return list(dict.fromkeys(found))


def _until_the_end(ids: Tensor, ends: list[int]) -> Batch:
    """Mask what stands after the first end-of-sequence token that was written; the one at the start is a prompt."""
    written = torch.isin(ids[:, 1:], torch.tensor(ends, device=ids.device)).long()
    real = torch.cat([torch.ones_like(ids[:, :1]), ((written.cumsum(dim=1) - written) == 0).long()], dim=1)
    return {"input_ids": ids, "attention_mask": real, "labels": torch.where(real == 1, ids, IGNORED)}
