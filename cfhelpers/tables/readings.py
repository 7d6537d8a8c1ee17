"""What a prompt is worth to tasks, its own and others'."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cfhelpers.metrics import mean_and_interval
from cfhelpers.tables.cells import cell
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    import pandas as pd


def readings(record: Record) -> pd.DataFrame:
    """Return how well each task's texts are read behind no prompt, and how much better behind each task's prompt.

    Args:
        record: With "TASK behind PROMPT" and "TASK behind nothing" among its extra numbers, for all pairs of tasks.

    Returns:
        A column per task. The first row is accuracy in percent, the others are gains over it in percentage points,
        seed by seed; on the diagonal stands a task's own prompt.

    Raises:
        KeyError: The record has no such numbers.
    """
    import pandas as pd

    rows = {"behind nothing": {task: cell(mean_and_interval(_read(record, task)), "accuracy") for task in record.tasks}}
    for prompt in record.tasks:
        gains = {task: mean_and_interval(100 * reading_gain(record, task, prompt)) for task in record.tasks}
        rows[f"behind the prompt of {prompt}"] = {task: f"{gain:+.1f}" for task, gain in gains.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def reading_gain(record: Record, task: str, prompt: str) -> NDArray[np.float64]:
    """Return by how much a task is read better behind a prompt than behind none, a share for each seed ``[S]``."""
    return _read(record, task, prompt) - _read(record, task)


def _read(record: Record, task: str, prompt: str = "nothing") -> NDArray[np.float64]:
    return np.array(record.extra[f"{task} behind {prompt}"], dtype=np.float64)[:, -1]
