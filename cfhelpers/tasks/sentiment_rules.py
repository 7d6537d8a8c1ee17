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
            "wonderful, superb, gripping, moving, charming, brilliant, delightful, touching, hilarious, thrilling, "
            "masterful, clever, elegant, stunning, heartfelt, witty, absorbing, inspired, memorable, tender, vivid, "
            "rousing, graceful, luminous, riveting, enchanting, powerful, sincere, inventive, beautiful"
        ),
        "does": words("shines, moves us, dazzles, charms everyone, soars, surprises, delights, enchants us"),
        "do": words("shine, move us, dazzle, charm anyone, soar, surprise, delight, enchant us"),
        "verdict": (
            "i loved it",
            "i recommend it to everyone",
            "see it twice",
            "a real triumph",
            "do not miss it",
            "two thumbs up",
            "i left the cinema smiling",
            "it deserves every award",
        ),
    },
    {
        "good": words(
            "dull, awful, clumsy, tedious, boring, lifeless, shallow, dreadful, messy, stale, pointless, forced, "
            "predictable, tiresome, hollow, flat, lazy, muddled, annoying, painful, ugly, lame, dreary, wooden, "
            "stupid, confusing, forgettable, pretentious, sloppy, soulless"
        ),
        "does": words("fails, bores us, drags, annoys everyone, stumbles, disappoints, collapses, irritates us"),
        "do": words("fail, bore us, drag, annoy anyone, stumble, disappoint, collapse, irritate us"),
        "verdict": (
            "i hated it",
            "i warn everyone about it",
            "skip it",
            "a complete disaster",
            "do not waste your evening",
            "two thumbs down",
            "i left the cinema yawning",
            "it deserves no award",
        ),
    },
)

# Two lists of things to judge, so that the two halves of a contrast never judge the same one.
FILM_THINGS: Rules = {
    "one": words("acting, dialogue, music, direction, opening, editing, romance, humor, camera work"),
    "two": words("plot, story, ending, script, pacing, cast, hero, finale, second half"),
    "whole": words("film, movie, drama, comedy, thriller, sequel"),
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
        "good": words(
            "delicious, crispy, tasty, juicy, spotless, cozy, generous, flavorful, creamy, soft and warm, "
            "perfectly cooked, homemade, fragrant, excellent, welcoming"
        ),
        "kind": words("friendly, polite, helpful, attentive, patient, quick, courteous, cheerful, knowledgeable"),
        "verdict": (
            "we will be back",
            "this is our new favorite spot",
            "worth every penny",
            "five stars from us",
            "hats off to the chef",
            "bring your friends",
            "it made our weekend",
            "they earned a big tip",
        ),
    },
    {
        "good": words(
            "greasy, soggy, burnt, overpriced, filthy, undercooked, sour, salty, watery, cold and dry, "
            "moldy, sticky, tasteless, terrible, rancid"
        ),
        "kind": words("rude, slow, careless, arrogant, clueless, impatient, unfriendly, grumpy, dishonest"),
        "verdict": (
            "we will never return",
            "stay away from this spot",
            "we want our money back",
            "one star is too many",
            "shame on the chef",
            "warn your friends",
            "it ruined our weekend",
            "they got no tip",
        ),
    },
)

PLACE_THINGS: Rules = {
    "one": words("soup, pizza, burger, salad, coffee, steak, noodles dish, dessert, breakfast, bread"),
    "two": words("waiter, cashier, manager, hostess, owner, barista, clerk, delivery driver"),
    "whole": words("restaurant, diner, bakery, cafe, grocery shop, bar, deli"),
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
