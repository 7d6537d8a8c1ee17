"""How a number stands in a table."""

from __future__ import annotations

from cfhelpers.metrics import Interval
from cfhelpers.training.records import Record


def cell(interval: Interval, metric: str) -> str:
    """Write an interval: shares in percent with one decimal, perplexities with two."""
    if metric == "perplexity":
        return f"{interval:.2f}"
    percent = Interval(100 * interval.mean, 100 * interval.low, 100 * interval.high, interval.count)
    return f"{percent:.1f}"


def megabytes(size: float) -> str:
    """Write a number of bytes in MB, with two decimals; a small one with its first digit."""
    return f"{size / 1e6:.1g}" if 0 < size < 1e5 else f"{size / 1e6:.2f}"


def name_of(record: Record) -> str:
    """Return a record's row name: the sweep it was chosen from, else its method with its settings."""
    return record.extra.get("sweep") or record.label


def unique_names(records: list[Record]) -> list[str]:
    """Return one name per record: short ones, and those with their settings where short ones would be the same."""
    short = [name_of(record) for record in records]
    return [record.label if short.count(name) > 1 else name for name, record in zip(short, records, strict=True)]
