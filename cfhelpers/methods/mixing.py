"""Mixing kept old examples into the training data of a new task, by examples or by tokens."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from torch.utils.data import ConcatDataset

Row = dict[str, Any]
By = Literal["examples", "tokens"]
T = TypeVar("T")


def reservoir_sample(stream: Iterable[T], size: int, generator: random.Random) -> list[T]:
    """Keep ``size`` items of a stream whose length nobody knows, every item with the same probability.

    Algorithm R (Vitter, 1985): the first ``size`` items are kept; item n (counted from 1) replaces a kept one with
    probability size / n, each with the same chance.

    Args:
        stream: Gone through once.
        size: Items to keep.
        generator: Draws the places.

    Returns:
        At most ``size`` items, in no particular order.

    Raises:
        ValueError: ``size`` is below 1.
    """
    if size < 1:
        raise ValueError(f"a reservoir keeps at least 1 item, got {size}.")
    kept: list[T] = []
    for number, item in enumerate(stream, start=1):
        if len(kept) < size:
            kept.append(item)
        elif (place := generator.randrange(number)) < size:
            kept[place] = item
    return kept


def weight(row: Mapping[str, Any], by: By) -> int:
    """Return what a row counts: 1 by examples, the length of its ``input_ids`` by tokens.

    Raises:
        ValueError: Tokens are to be counted in a row that has none.
    """
    if by == "examples":
        return 1
    if "input_ids" not in row:
        raise ValueError(
            f"a share by tokens needs rows with input_ids, these have {', '.join(sorted(row))}: tokenise both data "
            "sets first, or count examples (by='examples')."
        )
    return len(row["input_ids"])


def balanced_rows(kept: Mapping[str, Sequence[Row]], wanted: float, by: By, order: random.Random) -> list[Row]:
    """Repeat kept rows until they weigh ``wanted``: all tasks alike, within a task every row equally often ± 1.

    The next row always comes from the task that has given least so far; ``order`` draws which task begins.

    Args:
        kept: For each old task, its rows; none may be empty.
        wanted: Examples or tokens; the result is as near to it as whole rows allow.
        by: What is counted.
        order: Draws which of the tasks gets the row that does not divide evenly.

    Raises:
        ValueError: Not even one row fits in.
    """
    given = dict.fromkeys(order.sample(sorted(kept), len(kept)), 0.0)
    used = dict.fromkeys(kept, 0)
    rows: list[Row] = []
    total = 0.0
    while True:
        task = min(given, key=given.__getitem__)
        row = kept[task][used[task] % len(kept[task])]
        size = weight(row, by)
        if total + size / 2 > wanted:
            break
        rows.append(row)
        used[task] += 1
        given[task] += size
        total += size
    if not rows:
        raise ValueError(
            f"{wanted:.2g} old {by} were asked for, less than half a row: nothing would be replayed. Raise the share."
        )
    return rows


def mix_rows(dataset: Any, rows: Sequence[Row]) -> Any:
    """Return a training set with more rows at its end.

    Args:
        dataset: A ``datasets.Dataset``, or anything else with a length and rows by number.
        rows: In the same columns.

    Raises:
        ValueError: The data set is a stream or empty, or the columns or their types differ.
    """
    check_map_style(dataset)
    if not rows:
        return dataset
    check_columns(dataset, rows[0])
    from datasets import Dataset, concatenate_datasets

    if not isinstance(dataset, Dataset):
        return ConcatDataset([dataset, list(rows)])  # pyright: ignore[reportArgumentType]  # a list has length and rows
    try:
        added = Dataset.from_list(list(rows), features=dataset.features)
    except Exception as error:  # pyarrow's own errors have no common class below Exception
        raise ValueError(f"the old rows do not fit the types of the new data, {dataset.features}: {error}") from error
    return concatenate_datasets([dataset, added.with_format(**dataset.format)])


def check_map_style(dataset: Any) -> None:
    """Refuse a stream, whose length and rows nobody knows beforehand, and an empty data set.

    Raises:
        ValueError: It is one of these.
    """
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise ValueError(
            f"old examples can be mixed into data with a length only, not into a stream ({type(dataset).__name__}). "
            "Load it without streaming=True, or interleave the streams yourself (datasets.interleave_datasets)."
        )
    if len(dataset) == 0:
        raise ValueError("the training data are empty: there is nothing to mix old examples into.")


def check_columns(dataset: Any, row: Mapping[str, Any]) -> None:
    """Refuse old rows with other columns than the new data.

    Raises:
        ValueError: The names differ.
    """
    new = set(names) if (names := getattr(dataset, "column_names", None)) else set(dataset[0])
    if new != set(row):
        raise ValueError(
            f"old and new data have different columns: {', '.join(sorted(row))} and {', '.join(sorted(new))}. "
            "Bring both into the same form first, for instance with the same map(…, remove_columns=…)."
        )


def plain_rows(dataset: Any, numbers: Iterable[int]) -> list[Row]:
    """Return rows as Python containers, whatever format the data set hands out (torch, numpy)."""
    source = dataset.with_format(None) if hasattr(dataset, "with_format") else dataset
    return [dict(source[number]) for number in numbers]
