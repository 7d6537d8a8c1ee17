"""Four text domains for language modelling, written by grammars whose entropy is known."""

from __future__ import annotations

import math
import random
from functools import cache
from typing import TYPE_CHECKING

from cfhelpers.tasks.domain_rules import DOMAIN_RULES
from cfhelpers.tasks.grammar import Grammar
from cfhelpers.tasks.task import Task

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_DEFAULT_SIZE = 600
# A quarter as many texts are written for validation and again for test, within these limits.
_FEWEST_HELD_OUT, _MOST_HELD_OUT = 20, 200


def make(name: str, profile: str, *, seed: int = 0, size: int | None = None) -> Task:
    """Make one text domain; no text is written twice, so none is in two splits.

    Each text comes with the nats of the choices that led to it (column ``nats``), from which
    :func:`perplexity_floor` computes what a perfect model would score under a given tokenizer.

    Args:
        name: ``"wikitext"``, ``"dialogue"``, ``"news"`` or ``"reviews"``.
        profile: Not used: this is the generated form, for ``tiny`` and ``laptop``.
        seed: Chooses the texts.
        size: Number of training texts; None: 600.
    """
    size = _DEFAULT_SIZE if size is None else size
    held_out = min(max(size // 4, _FEWEST_HELD_OUT), _MOST_HELD_OUT)
    rows = write_texts(name, size + 2 * held_out, random.Random(f"{name} {seed}"))
    splits = {
        "test": _dataset(rows[:held_out]),
        "validation": _dataset(rows[held_out : 2 * held_out]),
        "train": _dataset(rows[2 * held_out :]),
    }
    return Task(
        name,
        "text",
        splits["train"],
        splits["validation"],
        splits["test"],
        metric="perplexity",
        higher_is_better=False,
        ceiling=math.nan,
        chance=math.nan,
    )


def write_texts(name: str, count: int, generator: random.Random) -> list[tuple[str, float]]:
    """Write ``count`` different texts of a domain, each with its nats."""
    grammar = _grammar(name)
    texts: dict[str, float] = {}
    for _ in range(20 * count):
        text, nats = grammar.sample(name, generator)
        texts.setdefault(text, nats)
        if len(texts) == count:
            return list(texts.items())
    raise ValueError(f"domain {name!r} cannot give {count} different texts")


def perplexity_floor(dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> float:
    """Compute the perplexity per token of the grammar itself, which no model can beat but by luck.

    It is exp(total nats / total tokens), each text counted with one end-of-text token, as in training. Where a text
    can be written in two ways its nats are too many, so the true floor is at most this.
    """
    tokens = sum(len(ids) + 1 for ids in tokenizer(list(dataset["text"]), add_special_tokens=False)["input_ids"])
    return math.exp(sum(dataset["nats"]) / tokens)


@cache
def _grammar(name: str) -> Grammar:
    return Grammar(DOMAIN_RULES[name])


def _dataset(rows: list[tuple[str, float]]) -> Dataset:
    from datasets import Dataset

    return Dataset.from_dict({"text": [text for text, _ in rows], "nats": [nats for _, nats in rows]})
