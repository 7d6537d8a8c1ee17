"""What is a short report about: the world, sports, business or science?"""

from __future__ import annotations

import random

from cfhelpers.tasks.classification import Texts, classification_task, with_article
from cfhelpers.tasks.grammar import Grammar
from cfhelpers.tasks.sentiment_rules import Rules, words
from cfhelpers.tasks.task import Task

LABEL_NAMES = ("World", "Sports", "Business", "Sci/Tech")

TOPIC_WORDS: tuple[Rules, ...] = (
    {
        "who": words("president, minister, ambassador, parliament, army, rebel leader, governor, refugee council"),
        "did": words("signed, rejected, negotiated, condemned, demanded, broke"),
        "what": words("peace treaty, border law, ceasefire, election result, embargo, visa rule, protest ban"),
    },
    {
        "who": words("striker, goalkeeper, coach, sprinter, champion, referee, tennis player, home team"),
        "did": words("won, lost, missed, celebrated, trained for, replayed"),
        "what": words("match, tournament, penalty, marathon, league title, medal race, semifinal"),
    },
    {
        "who": words("bank, investor, retailer, shareholder, insurer, airline, trader, steel company"),
        "did": words("sold, bought, financed, audited, priced, raised"),
        "what": words("stock, merger, bond, quarterly profit, loan, dividend, factory stake"),
    },
    {
        "who": words("scientist, engineer, astronomer, laboratory, programmer, biologist, robot team, chemist"),
        "did": words("discovered, measured, designed, tested, modelled, patented"),
        "what": words("planet, vaccine, microchip, enzyme, telescope, satellite, search algorithm"),
    },
)

REPORTS: Rules = {
    "when": words("on monday, on friday, this week, last night, in april, yesterday"),
    "where": words("in the capital, in the north, near the harbor, at a hotel, in the valley, abroad"),
    "report": (
        "the {who} {did} the {what} {when}.",
        "{when} the {who} {did} a {what} {where}.",
        "a {what} surprised the {who} {when}.",
        "after the {what} the {who} spoke to us {where}.",
        "people {where} heard about the {what} {when}.",
        "the {who} waited {where}; a {who} {did} nothing {when}.",
    ),
}

TOPICS = tuple(Grammar({**REPORTS, **topic}) for topic in TOPIC_WORDS)


def make(name: str, profile: str, *, seed: int = 0, size: int | None = None) -> Task:
    """Write the topic task; see :func:`cfhelpers.tasks.make_task`."""

    def write(label: int, generator: random.Random) -> Texts:
        return (with_article(TOPICS[label].sample("report", generator)[0]),)

    return classification_task(name, write, LABEL_NAMES, seed=seed, size=size)
