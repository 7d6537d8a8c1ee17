"""Whole answers, which ``test_answers`` gives to the checks: one file per chapter."""

from collections.abc import Callable
from typing import Any

RIGHT: list[tuple[str, Any]] = []
"""Number of the exercise, and an answer."""
WRONG: list[tuple[str, str, Any]] = []
"""Number, what the check has to say (nothing: only that it rejects the answer), and an answer."""


def right(number: str) -> Callable[[Any], Any]:
    def keep(answer: Any) -> Any:
        RIGHT.append((number, answer))
        return answer

    return keep


def wrong(number: str, says: str) -> Callable[[Any], Any]:
    def keep(answer: Any) -> Any:
        WRONG.append((number, says, answer))
        return answer

    return keep
