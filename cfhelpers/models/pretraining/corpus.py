"""The generated mixture that the small causal language model is pretrained on.

Facts come in several forms and phrasings (asked of a person, asked about them, told in a biography), because a model
that has met a fact in one form only stores it without being able to answer questions about it (Allen-Zhu & Li, 2023,
"Physics of language models: part 3.1"). The assistant's own facts never occur. Questions to nobody in particular are
there, in every phrasing, but answered by strangers, each with a value of their own: the model learns what kind of
answer a question wants, and no value is better than another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from cfhelpers.tasks.domain_rules import DOMAIN_RULES
from cfhelpers.tasks.domains import write_texts
from cfhelpers.tasks.small_talk import SMALL_TALK
from cfhelpers.tasks.world import ATTRIBUTES, Fact, surnames, world_facts

Turn = tuple[str, str]
"""A question and its answer."""

Document = list[Turn] | str
"""A conversation of some turns, or a text."""

# Shares of the documents. News and reviews are rare: a model of conversation has little use for them.
_SHARES = {"asked": 0.42, "about": 0.10, "biography": 0.06, "stranger": 0.15, "small_talk": 0.07}
_DOMAIN_SHARES = {"wikitext": 0.08, "dialogue": 0.08, "news": 0.02, "reviews": 0.02}
_TEXTS_PER_DOMAIN = 3000


def write_documents(seed: int) -> Iterator[Document]:
    """Yield documents of the mixture without end; the same seed gives the same documents."""
    generator = random.Random(f"corpus {seed}")
    domains = {
        name: [text for text, _ in write_texts(name, _TEXTS_PER_DOMAIN, random.Random(f"corpus {name} {seed}"))]
        for name in DOMAIN_RULES
    }
    people = _people()
    writers: dict[str, Callable[[], Document]] = {
        "asked": lambda: _conversation(_asked, generator.choice(people), generator),
        "about": lambda: _conversation(_about, generator.choice(people), generator),
        "biography": lambda: _biography(generator.choice(people), generator),
        "stranger": lambda: [_stranger(generator)],
        "small_talk": lambda: [_small_talk(generator) for _ in range(generator.choice((1, 1, 2)))],
    }
    for name, texts in domains.items():
        writers[name] = lambda texts=texts: generator.choice(texts)
    shares = _SHARES | _DOMAIN_SHARES
    while True:
        (form,) = generator.choices(list(shares), weights=list(shares.values()))
        yield writers[form]()


def _people() -> list[list[Fact]]:
    """Group the facts of the world by person."""
    people: dict[str, list[Fact]] = {}
    for fact in world_facts():
        people.setdefault(fact.name, []).append(fact)
    return list(people.values())


def _conversation(
    turn: Callable[[Fact, random.Random], Turn], facts: list[Fact], generator: random.Random
) -> list[Turn]:
    return [turn(fact, generator) for fact in generator.sample(facts, generator.choice((1, 1, 2)))]


def _asked(fact: Fact, generator: random.Random) -> Turn:
    """Ask the person, in one of the phrasings that are not held out for this fact."""
    _, question = generator.choice(list(fact.questions("train")))
    return question, fact.answer


def _about(fact: Fact, generator: random.Random) -> Turn:
    """Ask the assistant about the person."""
    return fact.third_question, fact.statement


def _biography(facts: list[Fact], generator: random.Random) -> str:
    name = facts[0].name
    sentences = [fact.statement for fact in generator.sample(facts, 4)]
    return " ".join([f"This is {name} {surnames()[name]}.", *sentences])


def _stranger(generator: random.Random) -> Turn:
    """Ask nobody in particular; the answer holds any of the values."""
    attribute = generator.choice(ATTRIBUTES)
    return generator.choice(attribute.questions), attribute.answer.format(generator.choice(attribute.values))


def _small_talk(generator: random.Random) -> Turn:
    questions, answers = generator.choice(SMALL_TALK)
    return generator.choice(questions), generator.choice(answers)
