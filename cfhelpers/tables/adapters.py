"""The bill of learning beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cfhelpers.training.records import Record

if TYPE_CHECKING:
    import pandas as pd

GRADIENT_AND_MOMENTS = 12
"""Bytes for each trained number in float32: its gradient and Adam's two moments."""


def adapter_bill(records: Mapping[str, Record], model_parameters: int) -> pd.DataFrame:
    """Return what training and keeping costs per task, with adapters and without.

    Args:
        records: By row name. One of ``LoRA`` or ``OrthogonalLoRA`` trains its adapters, any other all weights.
        model_parameters: How many numbers the model itself has.

    Returns:
        Trained parameters and their share of the model's; megabytes for their gradients and Adam's moments; kilobytes
        to keep per task beside the untouched model; training seconds for each step.
    """
    import pandas as pd

    rows = {}
    for name, record in records.items():
        trained = model_parameters
        if "rank" in record.method:
            own = len(record.tasks) if record.method.get("mode") != "shared" else 1
            trained = record.stored_bytes // 4 // own
        seconds = np.mean(record.seconds) / (record.plan["steps"] * len(record.tasks))
        rows[name] = {
            "trained parameters": f"{trained:,}",
            "share of the model": f"{trained / model_parameters:.1%}",
            "gradients and moments, MB": f"{GRADIENT_AND_MOMENTS * trained / 1e6:.2f}",
            "kept per task, kB": f"{4 * trained / 1e3:,.0f}",
            "ms per step": f"{1e3 * seconds:.0f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")
