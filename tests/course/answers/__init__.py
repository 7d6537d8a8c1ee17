"""Answers to the exercises as learners write them, right and wrong: how good are the checks?

One file per exercise: ``RIGHT`` holds right answers in several styles, ``WRONG`` replacements that spoil the first.
The mistakes that the check itself documents come on top. ``python -m tests.course.answers`` measures all of them and
writes the tables of ``notebooks/TEACHING.md``.
"""

import importlib
import math
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cfhelpers.course.checks.exercise import CheckFailed, Exercise
from cfhelpers.course.homework.judging import exercise_of

# What a check says that has seen that something is wrong, but not what was done.
UNNAMED = (
    " where ",
    " times what it should be",
    " has shape ",
    "but it has shape",
    "stopped with",
    " is NaN",
    "must be ",
    "the answer lacks",
    "the answer has an entry",
)


@dataclass(frozen=True)
class Answers:
    """The answers to one exercise: code, ready to be executed."""

    number: str
    name: str
    right: list[str]
    wrong: list[str]

    def build(self, code: str) -> Callable[..., Any]:
        space = {"torch": torch, "np": np, "math": math, "__name__": "answer"}
        exec(compile(code, f"<answer to {self.number}>", "exec"), space)
        return space[self.name]

    @property
    def exercise(self) -> Exercise:
        return exercise_of(self.number)


@dataclass(frozen=True)
class Verdict:
    """What a check said to a wrong answer; empty if it let it pass."""

    exercise: Exercise
    message: str

    @property
    def named(self) -> bool:
        documented = any(mistake.advice in self.message for mistake in self.exercise.mistakes)
        return documented or (bool(self.message) and not any(words in self.message for words in UNNAMED))


def all_answers() -> Iterator[Answers]:
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("exercise_"):
            content = importlib.import_module(f"{__name__}.{module.name}")
            right = [textwrap.dedent(code).strip() + "\n" for code in content.RIGHT]
            wrong = [spoiled(right[0], old, new) for old, new in content.WRONG]
            yield Answers(content.NUMBER, content.NAME, right, wrong)


def spoiled(code: str, old: str, new: str) -> str:
    assert old in code, f"{old!r} is not in the first right answer"
    return code.replace(old, new)


def judge(exercise: Exercise, answer: Callable[..., Any]) -> str:
    """Return what the check says against an answer; nothing if it is right."""
    try:
        exercise(answer)
    except CheckFailed as failure:
        return str(failure)
    return ""
