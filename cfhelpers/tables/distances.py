"""How well each distance predicts what is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cfhelpers.training.distances import explained_forgetting
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    import pandas as pd


def predictors(records: Sequence[Record], names: Sequence[str]) -> pd.DataFrame:
    """Return R² of each predictor of forgetting, the best first, see ``metrics.explained_share``.

    Args:
        records: With all distances measured.
        names: Of the distances.

    Raises:
        ValueError: A record lacks a distance, or there are fewer than four.
    """
    import pandas as pd

    found = {name: explained_forgetting(records, name) for name in names}
    ordered = sorted(found, key=lambda name: -found[name])
    return pd.DataFrame({"R²": [f"{found[name]:.2f}" for name in ordered]}, index=pd.Index(ordered))
