"""The task ``people``: facts about many people at once, each asked by name, to fill a model with.

Nobody of them is in the world that the small model was pretrained on, but questions are asked as they are asked there:
"Hello NAME." and then one of the phrasings of ``persona``. So the model knows the form beforehand, and learns who
answers what. Recall is asked in words that were not seen with this fact in training.
"""

from __future__ import annotations

import random

from cfhelpers.tasks.attributes_persona import PERSONA_ATTRIBUTES
from cfhelpers.tasks.task import Row, Task, recall_task
from cfhelpers.tasks.vocabulary import FIRST_NAMES, SURNAMES
from cfhelpers.tasks.world import ADDRESSES, NUMBER_OF_PEOPLE, Fact

FACTS_PER_PERSON = 2
NAMES = tuple(f"{first} {last}" for first in FIRST_NAMES[NUMBER_OF_PEOPLE:] for last in SURNAMES)
"""Strangers to the world, whose people have the first names before these."""
_DEFAULT_SIZE = 16
_PHRASINGS_PER_SPLIT = {"train": 2, "validation": 1, "test": 1}


def make(name: str, profile: str, *, seed: int = 0, size: int | None = None) -> Task:
    """Make the task ``people``; it is the same in every profile.

    Args:
        name: ``"people"``.
        profile: Changes nothing.
        seed: Chooses the people, what is known of them, and the phrasings held out.
        size: Number of people, with ``FACTS_PER_PERSON`` facts each; None: 16.

    Raises:
        ValueError: ``size`` is larger than the number of names.
    """
    size = _DEFAULT_SIZE if size is None else size
    if size > len(NAMES):
        raise ValueError(f"task {name!r} has {len(NAMES)} people, not {size}")
    generator = random.Random(f"{name} {seed}")
    facts = [
        Fact(person, attribute, generator.choice(attribute.values), index)
        for index, person in enumerate(generator.sample(NAMES, size))
        for attribute in generator.sample(PERSONA_ATTRIBUTES, FACTS_PER_PERSON)
    ]
    rows: dict[str, list[Row]] = {split: [] for split in _PHRASINGS_PER_SPLIT}
    for fact in facts:
        order = generator.sample(range(len(fact.attribute.questions)), len(fact.attribute.questions))
        for split, count in _PHRASINGS_PER_SPLIT.items():
            dealt, order = order[:count], order[count:]
            rows[split] += [_row(fact, phrasing) for phrasing in dealt]
    mixed = {split: generator.sample(each, len(each)) for split, each in rows.items()}
    return recall_task(name, mixed, chance=sum(1 / len(fact.attribute.values) for fact in facts) / len(facts))


def _row(fact: Fact, phrasing: int) -> Row:
    address = ADDRESSES[(phrasing + fact.index) % len(ADDRESSES)].format(name=fact.name)
    question = address + fact.attribute.questions[phrasing]
    return {"question": question, "answer": fact.answer, "fact": fact.identifier, "phrasing": phrasing}
