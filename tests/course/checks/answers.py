"""Answers for tests of the checks."""

from collections.abc import Callable
from typing import Any


def rewritten(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The same function or class as somebody's own: the library's very object counts as an exercise not written."""
    if isinstance(answer, type):
        return type(answer.__name__, (answer,), {})
    return lambda *inputs: answer(*inputs)
