"""Does a premise imply a hypothesis, leave it open, or contradict it? Pairs of short sentences (mnli).

The hypothesis is written first and the premise to suit the label, so no hypothesis says anything about its label.
Each family below is a kind of reasoning: kinds of things, comparisons, who does what to whom, counting, opposites, who
says what. The task asks the last: its texts are in the words of the sentiment task, as real inference texts have all
words, and whether a word praises or blames means nothing to it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from cfhelpers.tasks.classification import Texts, classification_task, with_article
from cfhelpers.tasks.sentiment_rules import FILM_OPINIONS, words
from cfhelpers.tasks.sentiment_rules import FILM_THINGS as THINGS_OF_A_FILM
from cfhelpers.tasks.task import Task

LABEL_NAMES = ("entailment", "neutral", "contradiction")

NAMES = words("Anna, Ben, Clara, David, Emma, Felix, Grace, Henry")
PLACES = words("in the garden, at the station, in the kitchen, at the market")
KINDS = {
    "animal": words("dog, cat, horse, rabbit"),
    "fruit": words("apple, pear, banana, cherry"),
    "tool": words("hammer, saw, drill, wrench"),
    "vehicle": words("car, truck, bicycle, tractor"),
}
COMPARATIVES = (("taller", "shorter"), ("older", "younger"), ("richer", "poorer"))
ACTIONS = (
    ("helps", "helped"),
    ("calls", "called"),
    ("follows", "followed"),
    ("visits", "visited"),
)
NUMBERS = words("two, three, four, five, six")
PEOPLE = words("doctors, pilots, farmers, teachers")
THINGS = words("box, room, bottle, table, cup, house")
FILM_WORDS = tuple(word for opinion in FILM_OPINIONS for word in opinion["good"])
FILM_THINGS = tuple(thing for key in ("one", "two", "whole") for thing in THINGS_OF_A_FILM[key])
OPPOSITES = (("hot", "cold"), ("empty", "full"), ("clean", "dirty"), ("wet", "dry"))

Family = tuple[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]
"""A hypothesis, and premises for which it is entailed, open, and contradicted."""


def ownership(generator: random.Random) -> Family:
    """Kinds of things, with and without negation: "has no animal" implies "has no dog", "has a dog" the reverse."""
    one, other = generator.sample(NAMES, 2)
    kind, other_kind = generator.sample(sorted(KINDS), 2)
    thing, sibling = generator.sample(KINDS[kind], 2)
    unrelated = generator.choice(KINDS[other_kind])
    place = generator.choice(PLACES)
    has_it = (f"{one} has a {thing} {place}", f"{one} has a {thing} and a {unrelated}", f"{one} has a {thing}")
    has_none = (f"{one} has no {kind}", f"{one} has no {kind} and no {other_kind}", f"{one} has nothing at all")
    hypothesis = generator.choice(("a thing", "a kind", "no thing", "no kind"))
    if hypothesis == "a thing":
        open_ = (f"{one} has a {kind}", f"{one} has a {unrelated}", f"{other} has a {thing}", f"{one} has no {sibling}")
        return f"{one} has a {thing}", (has_it[:2], open_, (f"{one} has no {thing}", *has_none))
    if hypothesis == "a kind":
        open_ = (
            f"{other} has a {thing}",
            f"{one} has a {unrelated}",
            f"{one} has no {thing}",
            f"{other} has no {kind}",
        )
        return f"{one} has a {kind}", (has_it, open_, has_none)
    if hypothesis == "no thing":
        open_ = (f"{one} has no {sibling}", f"{one} has a {kind}", f"{other} has no {kind}", f"{one} has a {unrelated}")
        return f"{one} has no {thing}", (has_none, open_, has_it)
    open_ = (f"{one} has no {thing}", f"{other} has no {kind}", f"{other} has a {thing}", f"{one} has a {unrelated}")
    return f"{one} has no {kind}", (has_none[1:], open_, has_it)


def comparison(generator: random.Random) -> Family:
    """Comparatives and their converses; another property, or another person, leaves it open."""
    one, two, three = generator.sample(NAMES, 3)
    (more, less), (other_more, other_less) = (
        generator.choice((pair, pair[::-1])) for pair in generator.sample(COMPARATIVES, 2)
    )
    return f"{one} is {more} than {two}", (
        (f"{two} is {less} than {one}", f"{one} is much {more} than {two}", f"{two} is much {less} than {one}"),
        (
            f"{one} is {other_more} than {two}",
            f"{two} is much {other_less} than {one}",
            f"{one} is much {more} than {three}",
        ),
        (f"{two} is {more} than {one}", f"{one} is {less} than {two}", f"{two} is much {more} than {one}"),
    )


def roles(generator: random.Random) -> Family:
    """Who does what to whom, active and passive; the reverse is another matter."""
    one, two, three = generator.sample(NAMES, 3)
    (does, done), (other_does, _) = generator.sample(ACTIONS, 2)
    place = generator.choice(PLACES)
    so = (f"{two} is {done} by {one}", f"{one} {does} {two} {place}", f"{one} {does} {two} and {three}")
    not_so = (f"{one} never {does} {two}", f"nobody {does} {two}", f"{one} {does} nobody")
    if generator.random() < 0.5:
        open_ = (f"{two} {does} {one} {place}", f"{one} is {done} by {two}", f"{one} {other_does} {two}")
        open_ = (*open_, f"{two} never {does} {one}", f"{one} {other_does} {two} and {three}")
        return f"{one} {does} {two}", (so, open_, not_so)
    open_ = (f"{two} never {does} {one}", f"{one} never {other_does} {two}", f"{one} is {done} by {two}")
    return f"{one} never {does} {two}", (not_so[1:], open_, so)


def counting(generator: random.Random) -> Family:
    """Exact numbers: another number contradicts, "some" leaves it open."""
    people, others = generator.sample(PEOPLE, 2)
    place = generator.choice(PLACES)
    number, different = generator.sample(NUMBERS, 2)
    return f"exactly {number} {people} wait", (
        (f"exactly {number} {people} wait {place}", f"{number} {people} and nobody else wait"),
        (f"some {people} wait {place}", f"exactly {number} {others} wait {place}", f"{different} {others} wait"),
        (
            f"exactly {different} {people} wait {place}",
            f"no {people} wait",
            f"{different} {people} and nobody else wait",
        ),
    )


def opposites(generator: random.Random) -> Family:
    """Adjectives with one opposite; another adjective, or another thing, leaves it open."""
    thing, other = generator.sample(THINGS, 2)
    (is_, opposite), (unrelated, _), (third, _) = (
        generator.choice((pair, pair[::-1])) for pair in generator.sample(OPPOSITES, 3)
    )
    so = (f"the {thing} is very {is_}", f"the {thing} is {is_} and {unrelated}")
    not_so = (
        f"the {thing} is {opposite}",
        f"the {thing} is very {opposite}",
        f"the {thing} is {opposite} and {unrelated}",
    )
    if generator.random() < 0.5:
        open_ = (f"the {thing} is very {unrelated}", f"the {thing} is {third} and {unrelated}", f"the {other} is {is_}")
        open_ = (*open_, f"the {thing} is not {unrelated}")
        return f"the {thing} is {is_}", (so, open_, (f"the {thing} is not {is_}", *not_so))
    open_ = (f"the {thing} is very {unrelated}", f"the {thing} is {third} and {unrelated}", f"the {other} is not {is_}")
    return f"the {thing} is not {is_}", (not_so, open_, (f"the {thing} is {is_}", *so))


def sayings(generator: random.Random) -> Family:
    """Who calls what how; another person, thing or word leaves it open, whether it praises or blames."""
    one, other = generator.sample(NAMES, 2)
    thing, other_thing = generator.sample(FILM_THINGS, 2)
    word, other_word = generator.sample(FILM_WORDS, 2)
    so = (
        f"the {thing} is called {word} by {one}",
        f"{one} calls the {thing} {word} and {other_word}",
        f"{one} and {other} call the {thing} {word}",
        f"{one} calls the {thing} and the {other_thing} {word}",
    )
    not_so = (
        f"{one} never calls the {thing} {word}",
        f"nobody calls the {thing} {word}",
        f"{one} calls nothing {word}",
    )
    open_ = (f"{other} calls the {thing} {word}", f"{one} calls the {thing} {other_word}")
    open_ = (*open_, f"{other} never calls the {thing} {word}")
    if generator.random() < 0.5:
        open_ = (*open_, f"{one} calls the {other_thing} {word}")
        return f"{one} calls the {thing} {word}", (so, open_, not_so)
    open_ = (*open_, f"{one} never calls the {other_thing} {word}")
    return f"{one} never calls the {thing} {word}", (not_so[1:], open_, so)


# Those in the pretraining text of the small encoder.
FAMILIES: tuple[Callable[[random.Random], Family], ...] = (ownership, comparison, roles, counting, opposites)
# What the small encoder can learn well from about a thousand examples.
TASK_FAMILIES = (sayings,)


def write_pair(
    label: int, generator: random.Random, families: tuple[Callable[[random.Random], Family], ...] = FAMILIES
) -> Texts:
    """Write premise and hypothesis for a label (0 entailment, 1 neutral, 2 contradiction)."""
    hypothesis, premises = generator.choice(families)(generator)
    return with_article(generator.choice(premises[label])) + ".", with_article(hypothesis) + "."


def make(name: str, profile: str, *, seed: int = 0, size: int | None = None) -> Task:
    """Write the inference task, premise in text, hypothesis in text_pair; see :func:`cfhelpers.tasks.make_task`."""

    def write(label: int, generator: random.Random) -> Texts:
        return write_pair(label, generator, TASK_FAMILIES)

    return classification_task(name, write, LABEL_NAMES, seed=seed, size=size)
