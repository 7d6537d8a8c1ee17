"""Dialogue tasks that teach the assistant facts: ``persona`` about itself, ``workplace`` about where it works.

Recall is asked in words that were not seen with this fact in training: of the seven phrasings of each question,
four are for training, one for validation and two for test; which ones, the seed decides for each fact. A model can
answer them because it has met the phrasings with other facts: the small bundled model in its pretraining, where they
were asked of other people, a real language model in the language it has read. So the small model knows the form of
the answers beforehand and has to learn the values.

The first fact of each is always among them: the favorite color, which is blue, and how the office should be painted,
which is answered alike ("I like ...") with another color.
"""

from __future__ import annotations

import random

from cfhelpers.tasks import vocabulary as words
from cfhelpers.tasks.attributes import Attribute, attribute
from cfhelpers.tasks.attributes_persona import PERSONA_ATTRIBUTES
from cfhelpers.tasks.attributes_workplace import WORKPLACE_ATTRIBUTES
from cfhelpers.tasks.task import Row, Task, recall_task

# fmt: off
# In nobody's world, asked of the assistant alone. It is answered in the words in which the persona tells its favorite
# color, and with another color: a lesson that can overwrite that one.
OFFICE_PAINT = attribute(
    "office_paint", tuple(color for color in words.COLORS if color != "blue"), "I like {}.",
    "How does {name} want the office painted?", "{name} likes {} for the office.",
    """How should we paint your office?
    Which carpet should we buy for your office?
    What should the new carpet at work look like?
    Tell me your wish for the walls at work.
    What color do you want for the meeting room?
    What did you tell the painter at work?
    Which paint would suit your office?""",
)
# fmt: on
_ATTRIBUTES = {"persona": PERSONA_ATTRIBUTES, "workplace": (OFFICE_PAINT, *WORKPLACE_ATTRIBUTES)}
# A real language model on two CPU cores takes minutes to learn so many sentences, so it gets fewer.
_FACTS = {"tiny": 32, "laptop": 24, "full": 32}
_PHRASINGS_PER_SPLIT = {"train": 4, "validation": 1, "test": 2}


def make(name: str, profile: str, *, seed: int = 0, size: int | None = None) -> Task:
    """Make the task ``persona`` or ``workplace``; the facts are the same in every profile.

    Args:
        name: ``"persona"`` or ``"workplace"``.
        profile: Decides how many facts there are when ``size`` is None; they come from the same list.
        seed: Chooses the values, the phrasings held out, and which attributes where ``size`` is smaller than all.
        size: Number of facts; None: 32, and 24 in ``laptop``.

    Raises:
        ValueError: ``size`` is larger than the number of attributes.
    """
    attributes = _ATTRIBUTES[name]
    size = _FACTS[profile] if size is None else size
    if size > len(attributes):
        raise ValueError(f"task {name!r} has {len(attributes)} facts, not {size}")
    generator = random.Random(f"{name} {seed}")
    rows: dict[str, list[Row]] = {split: [] for split in _PHRASINGS_PER_SPLIT}
    share_by_chance = 0.0
    for each in _chosen(attributes, size, generator):
        value = generator.choice(each.values)
        if each.key == "favorite_color":
            value = "blue"
        for split, phrasings in _split_phrasings(each, generator).items():
            rows[split] += [_row(each, value, phrasing) for phrasing in phrasings]
        share_by_chance += 1 / len(each.values) / size
    mixed = {split: generator.sample(each, len(each)) for split, each in rows.items()}
    # By chance: the right form of answer with any of its values.
    return recall_task(name, mixed, chance=share_by_chance)


def _chosen(attributes: tuple[Attribute, ...], size: int, generator: random.Random) -> list[Attribute]:
    """Choose ``size`` attributes; the first of all is always among them."""
    return [attributes[0], *generator.sample(attributes[1:], size - 1)]


def _split_phrasings(attribute: Attribute, generator: random.Random) -> dict[str, list[int]]:
    """Deal the phrasings of one question to the splits."""
    order = generator.sample(range(len(attribute.questions)), len(attribute.questions))
    dealt: dict[str, list[int]] = {}
    for split, count in _PHRASINGS_PER_SPLIT.items():
        dealt[split], order = sorted(order[:count]), order[count:]
    return dealt


def _row(attribute: Attribute, value: str, phrasing: int) -> Row:
    return {
        "question": attribute.questions[phrasing],
        "answer": attribute.answer.format(value),
        "fact": f"assistant.{attribute.key}",
        "phrasing": phrasing,
    }
