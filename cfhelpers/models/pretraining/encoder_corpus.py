"""The generated mixture that the small encoder is pretrained on: reviews, reports and statements, without labels.

What fine-tuning later needs is met here as language. Sentences of one review agree, so a hidden word can be guessed
from the opinion of the others, through negation and "but". Two statements about the same people are joined the way
speakers join them: "in other words" and "so" when the second follows, "perhaps" when it may be, "it is not true that"
when it cannot be. A masked connective therefore asks how two sentences relate, as it does in real text.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from cfhelpers.tasks.classification import Texts, with_article
from cfhelpers.tasks.inference import write_pair
from cfhelpers.tasks.sentiment import FILM_REVIEWS, PLACE_REVIEWS
from cfhelpers.tasks.topics import TOPICS

# Shares of the documents.
SHARES = {"film": 0.32, "place": 0.10, "topic": 0.08, "joined": 0.35, "story": 0.15}

FILM_FORMS = {"plain": 0.7, "negated": 0.12, "contrast": 0.18}

# In the order of the relations: follows, left open, contradicted.
CONNECTIVES = (
    ("in other words,", "so"),
    ("perhaps", "maybe"),
    ("it is wrong that", "it is false that"),
)


def write_documents(seed: int) -> Iterator[Texts]:
    """Yield documents of one or two segments without end; the same seed gives the same documents."""
    generator = random.Random(f"encoder corpus {seed}")
    writers = {"film": _film, "place": _place, "topic": _topic, "joined": _joined, "story": _story}
    while True:
        (form,) = generator.choices(list(SHARES), weights=list(SHARES.values()))
        yield writers[form](generator)


def _film(generator: random.Random) -> Texts:
    """One to three sentences and a verdict of one reviewer, who has one opinion.

    Plain sentences outweigh the others, as in real reviews: which words go together is learned from them, and what
    "not" and "but" do to the words only then.
    """
    grammar = FILM_REVIEWS[generator.randrange(2)]
    forms = generator.choices(list(FILM_FORMS), weights=list(FILM_FORMS.values()), k=generator.choice((2, 3)))
    sentences = [with_article(grammar.sample(form, generator)[0]) + "." for form in (*forms, "verdict")]
    generator.shuffle(sentences)
    return (" ".join(sentences),)


def _place(generator: random.Random) -> Texts:
    return (with_article(PLACE_REVIEWS[generator.randrange(2)].sample("review", generator)[0]),)


def _topic(generator: random.Random) -> Texts:
    grammar = generator.choice(TOPICS)
    return (" ".join(with_article(grammar.sample("report", generator)[0]) for _ in range(2)),)


def _joined(generator: random.Random) -> Texts:
    """Two statements and the connective that suits them, in one segment or in two."""
    relation = generator.randrange(3)
    first, second = write_pair(relation, generator)
    second = f"{generator.choice(CONNECTIVES[relation])} {second}"
    return (first, second) if generator.random() < 0.5 else (f"{first} {second}",)


def _story(generator: random.Random) -> Texts:
    """Two statements of which the second follows from the first, in either order."""
    first, second = write_pair(0, generator)
    return (first, second) if generator.random() < 0.5 else (second, first)
