"""Words and sentence patterns of the sentiment tasks: films in one vocabulary, places to eat and shop in another.

In every pattern {good} agrees with the label and {bad} contradicts it; for a negative text the two word lists change
places. So the patterns say nothing about the label, and the words only together with the pattern: "not {bad}" agrees.
"""

from __future__ import annotations

Rules = dict[str, tuple[str, ...]]
Opinions = tuple[Rules, Rules]
"""Words for a positive opinion and for a negative one, under the same names."""


def words(text: str) -> tuple[str, ...]:
    """Split a comma-separated list."""
    return tuple(word.strip() for word in text.split(","))


FILM_OPINIONS: Opinions = (
    {
        "good": words(
            "wonderful, superb, gripping, moving, charming, brilliant, delightful, hilarious, "
            "thrilling, clever, elegant, witty, absorbing, memorable, inventive, powerful"
        ),
        "does": words("shines, dazzles, soars, surprises, delights"),
        "do": words("shine, dazzle, soar, surprise, delight"),
        "verdict": (
            "i loved it",
            "i recommend it to everyone",
            "see it twice",
            "two thumbs up",
        ),
    },
    {
        "good": words(
            "dull, awful, clumsy, tedious, boring, lifeless, shallow, dreadful, "
            "stale, pointless, predictable, hollow, lazy, annoying, ugly, stupid"
        ),
        "does": words("fails, drags, stumbles, disappoints, collapses"),
        "do": words("fail, drag, stumble, disappoint, collapse"),
        "verdict": (
            "i hated it",
            "i warn everyone about it",
            "skip it",
            "two thumbs down",
        ),
    },
)

# Two lists of things to judge, so that the two halves of a contrast never judge the same one.
FILM_THINGS: Rules = {
    "one": words("acting, dialogue, music, direction, opening, editing"),
    "two": words("plot, story, ending, script, cast, hero"),
    "whole": words("film, movie, comedy, thriller"),
}

FILM_SENTENCES: Rules = {
    "not": words("not, never, hardly, not at all, far from"),
    "very": ("", "", "very ", "truly ", "really ", "simply "),
    "thing": ("{one}", "{two}", "{whole}"),
    "plain": (
        "the {thing} is {very}{good}",
        "this is a {good} {whole} with a {good} {two}",
        "the {one} {does}",
        "what a {good} and {good} {whole}",
        "{good} {one} and a {good} {two}",
    ),
    "negated": (
        "the {thing} is {not} {bad}",
        "this {whole} does not {undo}",
        "there is nothing {bad} about the {thing}",
        "nobody could call the {thing} {bad}",
    ),
    "contrast": (
        "the {one} is {bad}, but the {two} is {very}{good}",
        "a {bad} {one}, but the {two} is {good}",
        "the {two} is {very}{bad}, but the {one} {does}",
        "although the {one} is {bad}, the {two} {does}",
        "the {two} is {bad}; the {whole}, however, is {good}",
        "the {one} is {bad}, but the {two} is {not} {bad}",
        "the {two} {undoes}, but the {one} is {good}",
    ),
}

PLACE_OPINIONS: Opinions = (
    {
        "good": words("delicious, crispy, tasty, juicy, spotless, flavorful, creamy, homemade, fragrant, excellent"),
        "kind": words("friendly, polite, helpful, attentive, patient, cheerful"),
        "verdict": (
            "we will be back",
            "this is our new favorite spot",
            "worth every penny",
            "five stars from us",
        ),
    },
    {
        "good": words("greasy, soggy, burnt, filthy, sour, salty, watery, moldy, tasteless, terrible"),
        "kind": words("rude, slow, careless, arrogant, clueless, grumpy"),
        "verdict": (
            "we will never return",
            "stay away from this spot",
            "we want our money back",
            "one star is too many",
        ),
    },
)

PLACE_THINGS: Rules = {
    "one": words("soup, pizza, burger, salad, coffee, steak"),
    "two": words("waiter, cashier, manager, hostess, owner, clerk"),
    "whole": words("restaurant, diner, bakery, cafe"),
}

PLACE_SENTENCES: Rules = {
    "very": ("", "", "so ", "always ", "incredibly "),
    "about": (
        "the {one} was {very}{good}",
        "the {two} was {very}{kind}",
        "we ordered the {one} and it was {good}",
        "they served a {good} {one} at this {whole}",
        "the {one} is {good} and the {two} is {kind}",
    ),
    "concession": ("the {one} was {bad}", "the {two} was a little {unkind}"),
}

FILM_REVIEW: Rules = {
    "about": ("{plain}", "{negated}"),
    "concession": ("the {one} is {bad}", "the {one} {undoes}"),
}

# A review: its sentences, and at most one concession, which a verdict follows.
REVIEW: Rules = {
    "review": (
        "{about}. {verdict}.",
        "{about}. {about}. {verdict}.",
        "{verdict}. {about}. {about}.",
        "{about}. {about}. {about}.",
        "{concession}. still, {about}. {verdict}.",
        "{verdict}, even if {concession}. {about}.",
    ),
}
