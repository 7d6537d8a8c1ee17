"""Tables of a single record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cfhelpers.metrics import mean_and_interval
from cfhelpers.tables.cells import cell
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    import pandas as pd


def result_matrix(record: Record, seed: int | None = None) -> pd.DataFrame:
    """Return the result matrix: a row per moment ("after …"), a column per task ("on …").

    Args:
        record: Its test scores.
        seed: One of the record's; None shows mean and interval over all.

    Returns:
        Shares in percent, perplexities as they are; empty where a task had no head yet.

    Raises:
        ValueError: The record has no such seed.
    """
    import pandas as pd

    chosen = np.array(record.results) if seed is None else record.matrix(seed)[None]
    rows = {
        f"after {moment}": {
            f"on {task}": "" if np.isnan(scores).any() else cell(mean_and_interval(scores), record.metrics[column])
            for column, (task, scores) in enumerate(zip(record.tasks, chosen[:, row].T, strict=True))
        }
        for row, moment in enumerate(record.tasks)
    }
    return pd.DataFrame.from_dict(rows, orient="index")
