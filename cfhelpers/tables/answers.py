"""What models say, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def answers(questions: Sequence[str], replies: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return a table with a row per question and a column per model.

    Args:
        questions: What was asked.
        replies: For each model, by name, one reply per question.

    Raises:
        ValueError: A model has another number of replies than there are questions.
    """
    import pandas as pd

    for name, given in replies.items():
        if len(given) != len(questions):
            raise ValueError(f"{name!r} has {len(given)} replies to {len(questions)} questions.")
    return pd.DataFrame({name: list(given) for name, given in replies.items()}, index=pd.Index(questions))
