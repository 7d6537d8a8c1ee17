"""A small text grammar that knows how probable each text is that it writes."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence

_SLOT = re.compile(r"\{(\w+)(?:#(\w+))?\}")


class Grammar:
    """Expands a symbol by choosing uniformly among its rules, and adds up the surprise of the choices.

    A rule is a text with slots: ``{town}`` is chosen anew each time; ``{town#a}`` is chosen once per text and
    then repeated wherever ``{town#a}`` stands, at no further surprise.

    Args:
        rules: Symbol -> texts it can become. Every slot must name a symbol.
    """

    def __init__(self, rules: Mapping[str, Sequence[str]]) -> None:
        self.rules = {symbol: tuple(texts) for symbol, texts in rules.items()}
        used = {slot[0] for texts in self.rules.values() for text in texts for slot in _SLOT.findall(text)}
        missing = sorted(used - self.rules.keys())
        if missing:
            raise ValueError(f"the grammar has slots without rules: {missing}")

    def sample(self, symbol: str, generator: random.Random) -> tuple[str, float]:
        """Write one text.

        Returns:
            The text, and the nats (negative log-probability) of the choices that led to it. Where two ways lead to
            the same text, its own surprise is smaller: the nats are an upper bound.
        """
        remembered: dict[tuple[str, str], str] = {}
        nats = 0.0

        def expand(name: str) -> str:
            nonlocal nats
            texts = self.rules[name]
            nats += math.log(len(texts))
            return _SLOT.sub(fill, generator.choice(texts))

        def fill(slot: re.Match[str]) -> str:
            name, label = slot[1], slot[2]
            if label is None:
                return expand(name)
            if (name, label) not in remembered:
                remembered[name, label] = expand(name)
            return remembered[name, label]

        return expand(symbol), nats
