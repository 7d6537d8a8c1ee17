"""Written general-knowledge questions, of a kind that a small real language model can answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """Questions of one form.

    Attributes:
        key: Identifier such as ``"capital"``.
        question: The question with ``{}`` for the subject.
        answer: The answer with ``{}`` for the subject and then for the object.
        pairs: Subject and object.
    """

    key: str
    question: str
    answer: str
    pairs: tuple[tuple[str, str], ...]


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    subjects, objects = zip(*(line.strip().split(" = ") for line in text.strip().split(";")), strict=True)
    return tuple(zip(subjects, objects, strict=True))


# Without an instruction a small chat model goes on talking. One for each split: training, validation, test.
INSTRUCTIONS: tuple[str, str, str] = ("Answer in one word.", "Answer with one short sentence.", "Answer briefly.")

RELATIONS: tuple[Relation, ...] = (
    Relation(
        "capital",
        "What is the capital of {}?",
        "The capital of {} is {}.",
        _pairs("""France = Paris; Italy = Rome; Germany = Berlin; Spain = Madrid; Japan = Tokyo; China = Beijing;
        Russia = Moscow; England = London; Greece = Athens; Egypt = Cairo; Portugal = Lisbon; Austria = Vienna;
        Poland = Warsaw; Sweden = Stockholm; Norway = Oslo; Ireland = Dublin; Cuba = Havana; Peru = Lima;
        Canada = Ottawa; Kenya = Nairobi"""),
    ),
    Relation(
        "opposite",
        "What is the opposite of {}?",
        "The opposite of {} is {}.",
        _pairs("""hot = cold; big = small; up = down; left = right; day = night; black = white; young = old;
        fast = slow; happy = sad; good = bad; open = closed; rich = poor; wet = dry; light = dark; hard = soft;
        high = low; early = late; full = empty; north = south; love = hate"""),
    ),
    Relation(
        "language",
        "What is the official language of {}?",
        "The official language of {} is {}.",
        _pairs("""France = French; Italy = Italian; Germany = German; Spain = Spanish; Japan = Japanese;
        Mexico = Spanish; Brazil = Portuguese; Portugal = Portuguese; Poland = Polish; Greece = Greek;
        Sweden = Swedish; Egypt = Arabic;
        Hungary = Hungarian; Austria = German; Russia = Russian; England = English; Argentina = Spanish;
        Turkey = Turkish; Norway = Norwegian; Australia = English"""),
    ),
    Relation(
        "plural",
        "What is the plural of {}?",
        "The plural of {} is {}.",
        _pairs("""mouse = mice; child = children; foot = feet; tooth = teeth; man = men; woman = women; goose = geese;
        leaf = leaves; wolf = wolves; knife = knives"""),
    ),
    Relation(
        "symbol",
        "What is the chemical symbol for {}?",
        "The chemical symbol for {} is {}.",
        _pairs("""gold = Au; silver = Ag; iron = Fe; oxygen = O; hydrogen = H; carbon = C; sodium = Na; lead = Pb;
        copper = Cu; helium = He"""),
    ),
)  # fmt: skip
