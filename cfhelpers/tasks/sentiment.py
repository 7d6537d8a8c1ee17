"""Is an opinion positive? Short sentences about films (sst2), film reviews (imdb), reviews of places (yelp)."""

from __future__ import annotations

import random

from cfhelpers.tasks import sentiment_rules as rules
from cfhelpers.tasks.classification import Texts, classification_task, with_article
from cfhelpers.tasks.grammar import Grammar
from cfhelpers.tasks.task import Task

LABEL_NAMES = ("negative", "positive")
# The opposite of a word list is the list of the other opinion, under a name of its own.
OPPOSITES = {"good": "bad", "does": "undoes", "do": "undo", "kind": "unkind"}


def opinion_grammars(opinions: rules.Opinions, *shared: rules.Rules) -> tuple[Grammar, Grammar]:
    """Build one grammar per label (negative, positive): the same patterns with the two word lists exchanged.

    Args:
        opinions: Words for a positive and for a negative opinion.
        *shared: Patterns and words that do not depend on the label; a later one overrides an earlier one.
    """
    common = {symbol: texts for part in shared for symbol, texts in part.items()}
    positive, negative = opinions

    def grammar(agreeing: rules.Rules, contradicting: rules.Rules) -> Grammar:
        opposite = {OPPOSITES[symbol]: texts for symbol, texts in contradicting.items() if symbol in OPPOSITES}
        return Grammar({**common, **agreeing, **opposite})

    return grammar(negative, positive), grammar(positive, negative)


# "does not {undo}": the contradicting list already comes in its base form.
SENTENCES = opinion_grammars(
    rules.FILM_OPINIONS,
    rules.FILM_THINGS,
    rules.FILM_SENTENCES,
    # Negation and contrast outweigh plain sentences, so that counting words is not enough.
    {"sentence": ("{plain}",) * 2 + ("{negated}",) * 3 + ("{contrast}",) * 5},
)
FILM_REVIEWS = opinion_grammars(
    rules.FILM_OPINIONS, rules.FILM_THINGS, rules.FILM_SENTENCES, rules.FILM_REVIEW, rules.REVIEW
)
PLACE_REVIEWS = opinion_grammars(rules.PLACE_OPINIONS, rules.PLACE_THINGS, rules.PLACE_SENTENCES, rules.REVIEW)

_TASKS = {
    "sst2": (SENTENCES, "sentence"),
    "imdb": (FILM_REVIEWS, "review"),
    "yelp": (PLACE_REVIEWS, "review"),
}


def make(name: str, profile: str, *, seed: int = 0, size: int | None = None) -> Task:
    """Write a sentiment task; see :func:`cfhelpers.tasks.make_task`.

    In a sentence with a contrast the clause after "but" (or outside "although") decides. In a review a concession may
    contradict the label, but never the verdict or most of the sentences.
    """
    grammars, start = _TASKS[name]

    def write(label: int, generator: random.Random) -> Texts:
        return (with_article(grammars[label].sample(start, generator)[0] + ("." if start == "sentence" else "")),)

    return classification_task(name, write, LABEL_NAMES, seed=seed, size=size)
