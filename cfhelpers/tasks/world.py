"""The generated world: people with homes and workplaces, whose facts the small language model is pretrained on.

The assistant is not one of them: nothing about it is in the world, so that a task can teach it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from cfhelpers.tasks.attributes import Attribute
from cfhelpers.tasks.attributes_persona import PERSONA_ATTRIBUTES
from cfhelpers.tasks.attributes_workplace import WORKPLACE_ATTRIBUTES
from cfhelpers.tasks.vocabulary import FIRST_NAMES, SURNAMES

ATTRIBUTES: tuple[Attribute, ...] = PERSONA_ATTRIBUTES + WORKPLACE_ATTRIBUTES
ATTRIBUTE_BY_KEY: dict[str, Attribute] = {attribute.key: attribute for attribute in ATTRIBUTES}
PHRASINGS = 7
NUMBER_OF_PEOPLE = 50
FACTS_PER_PERSON = 12

# How a person of the world is addressed; without an address, a question is for the assistant or for a stranger.
ADDRESSES: tuple[str, ...] = ("Hello {name}. ", "Hi {name}! ", "{name}, one question. ", "A question for {name}. ")


@dataclass(frozen=True)
class Fact:
    """One fact: ``value`` is what ``attribute`` is for ``name``."""

    name: str
    attribute: Attribute
    value: str
    index: int

    @property
    def identifier(self) -> str:
        """The fact's name in a data set, such as ``"Anna.favorite_color"``."""
        return f"{self.name}.{self.attribute.key}"

    @property
    def answer(self) -> str:
        """What the person answers, whatever the phrasing."""
        return self.attribute.answer.format(self.value)

    @property
    def statement(self) -> str:
        """The fact as a sentence about the person."""
        return self.attribute.statement.format(self.value, name=self.name)

    @property
    def third_question(self) -> str:
        """The question about the person, which :attr:`statement` answers."""
        return self.attribute.third_question.format(name=self.name)

    def split_of(self, phrasing: int) -> str:
        """Say which split a phrasing of this fact belongs to: one is for validation, one for test, five for training.

        Which one it is moves from fact to fact, so that each phrasing is seen in pretraining, with other facts.
        """
        return {0: "test", 1: "validation"}.get((phrasing + self.index) % PHRASINGS, "train")

    def questions(self, split: str) -> Iterator[tuple[int, str]]:
        """Yield ``(phrasing, question)`` for the phrasings of this split, addressed to the person."""
        for phrasing, question in enumerate(self.attribute.questions):
            if self.split_of(phrasing) == split:
                address = ADDRESSES[(phrasing + self.index) % len(ADDRESSES)]
                yield phrasing, address.format(name=self.name) + question


@lru_cache(maxsize=1)
def world_facts() -> tuple[Fact, ...]:
    """Return all facts of the world: :data:`FACTS_PER_PERSON` for each of :data:`NUMBER_OF_PEOPLE` people."""
    generator = random.Random("the world")
    facts: list[Fact] = []
    for name in FIRST_NAMES[:NUMBER_OF_PEOPLE]:
        for attribute in generator.sample(ATTRIBUTES, FACTS_PER_PERSON):
            values = [value for value in attribute.values if value != name]
            facts.append(Fact(name, attribute, generator.choice(values), index=len(facts)))
    return tuple(facts)


@lru_cache(maxsize=1)
def surnames() -> dict[str, str]:
    """Return each person's surname by first name."""
    generator = random.Random("surnames")
    return {name: generator.choice(SURNAMES) for name in FIRST_NAMES[:NUMBER_OF_PEOPLE]}
