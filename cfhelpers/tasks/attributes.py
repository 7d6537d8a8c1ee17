"""What can be known about somebody: the attribute, its values, and the words for asking and answering."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attribute:
    """One thing that is true of a person, with the ways to ask for it.

    Attributes:
        key: Identifier such as ``"favorite_color"``.
        values: What the attribute can be.
        answer: The one answer in the first person, with ``{}`` for the value: the same for every phrasing.
        third_question: The question about somebody else, with ``{name}``.
        statement: The fact about somebody else, with ``{name}`` and ``{}``.
        questions: Phrasings of the question to the person themselves, all different in their words.
    """

    key: str
    values: tuple[str, ...]
    answer: str
    third_question: str
    statement: str
    questions: tuple[str, ...]


def attribute(key: str, values: tuple[str, ...], answer: str, third: str, statement: str, asked: str) -> Attribute:
    """Make an attribute from its texts; ``asked`` holds one question a line."""
    questions = tuple(line.strip() for line in asked.strip().splitlines())
    return Attribute(key, values, answer, third, statement, questions)
