"""The measures of ``cfhelpers.metrics`` as Hugging Face ``evaluate`` metrics, loaded from this folder without a hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import evaluate

NAMES = (
    "accuracy",
    "average_accuracy",
    "backward_transfer",
    "forgetting",
    "forward_transfer",
    "intransigence",
    "perplexity",
)
"""Names that ``load`` understands."""

SCRIPT = Path(__file__).parent / "continual.py"
"""Where the script lies, for ``evaluate.load(str(SCRIPT), name)``."""


def load(name: str) -> evaluate.Metric:
    """Load one of this package's metrics; nothing is downloaded.

    Args:
        name: One of ``NAMES``.

    Returns:
        A metric whose ``compute`` returns ``{name: float}``. It takes ``predictions`` and ``references`` (accuracy);
        ``nats`` and ``tokens``, one entry per batch (perplexity); ``results``, the rows of the result matrix, and where
        the measure needs them ``single_task`` or ``joint`` scores (the others).

    Raises:
        ValueError: There is no metric of this name.
    """
    if name not in NAMES:
        raise ValueError(f"no metric named {name!r}; there are {', '.join(NAMES)}")
    import evaluate  # takes seconds and hundreds of megabytes

    metric = evaluate.load(str(SCRIPT), name)
    assert isinstance(metric, evaluate.Metric)
    return metric
