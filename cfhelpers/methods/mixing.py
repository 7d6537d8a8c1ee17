"""What replay and generative replay share: old examples mixed into the new training data, by examples or tokens."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from torch import Tensor
from torch.utils.data import ConcatDataset

from cfhelpers.methods.base import Method
from cfhelpers.tasks.encoding import IGNORED, EncodedTask

if TYPE_CHECKING:
    from datasets import Dataset

Row = dict[str, Any]
By = Literal["examples", "tokens"]
T = TypeVar("T")


class MixingMethod(Method):
    """Mixes what it keeps of old tasks into the data of the new one.

    Args:
        share: Share of the training data that is old, between 0 and 1. Old tasks get equal parts of it, and within a
            task every kept row is repeated equally often ± 1.
        by: What ``share`` counts: "examples", or "tokens" where old and new examples differ in length.
        seed: Of every draw.

    Raises:
        ValueError: A share outside (0, 1) or an unknown ``by``.
    """

    def __init__(self, share: float, *, by: By = "examples", seed: int = 0) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {share}.")
        if by not in get_args(By):
            raise ValueError(f"by must be one of {', '.join(get_args(By))}, got {by!r}.")
        self.share, self.seed = share, seed
        self.by: By = by
        self.kept: dict[str, list[Row]] = {}
        self.whole_buffer = False
        self._is_mixed_in = False

    def mix(self, dataset: Any) -> Any:
        """Return a trainer's new examples and so many repetitions of the old ones that they make up ``share`` of all.

        Raises:
            ValueError: Nothing is kept yet, the data are a stream, or their columns are not those of the old data.
        """
        if not self.kept:
            kind = type(self).__name__
            how = next(name for name in ("from_data", "from_model") if hasattr(self, name))
            raise ValueError(f"this {kind} keeps no old examples yet: make it with {kind}.{how}(…).")
        self._is_mixed_in = True
        return self._mix(dataset, "")

    def training_data(self, task: EncodedTask, seen: Sequence[EncodedTask]) -> Dataset:
        """Return the new examples with the old ones, as ``mix`` does; the first task has no old ones."""
        return self._mix(task.train, task.name) if self.kept else task.train

    def _mix(self, dataset: Any, name: str) -> Any:
        check_map_style(dataset)
        new = len(dataset)
        if self.by == "tokens":
            new = sum(weight(dataset[row], "tokens") for row in range(len(dataset)))
        wanted = new * self.share / (1 - self.share)
        if self.whole_buffer:
            times = math.ceil(sum(weight(row, self.by) for rows in self.kept.values() for row in rows) / wanted)
            dataset, wanted = repeat(dataset, times), wanted * times
        order = random.Random(f"{self.seed}-{name}")
        return mix_rows(dataset, balanced_rows(self.kept, wanted, self.by, order))

    def stored_bytes(self) -> int:
        """Return the size of what is kept at 8 bytes a token id or label."""
        return stored_bytes(self.kept)

    def state_dict(self) -> dict[str, Any]:
        """Return what is kept."""
        return {"kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what another object kept.

        Raises:
            ValueError: Something else is in the training data already.
        """
        if self._is_mixed_in and _listed(state["kept"]) != _listed(self.kept):
            raise ValueError(
                "the checkpoint's old examples are not the ones in the training data: make the method with the same "
                "old data, size and seed as in the run that is resumed."
            )
        self.kept = state["kept"]


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


def has_target(row: Mapping[str, Any]) -> bool:
    """Return whether a row's ``labels`` have something to predict: a class, or a token after the first."""
    labels = row["labels"].tolist() if hasattr(row["labels"], "tolist") else row["labels"]
    return any(label != IGNORED for label in labels[1:]) if isinstance(labels, list | tuple) else labels != IGNORED


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


def repeat(dataset: Any, times: int) -> Any:
    """Return a data set so many times in a row."""
    from datasets import Dataset, concatenate_datasets

    parts = [dataset] * times
    return concatenate_datasets(parts) if isinstance(dataset, Dataset) else ConcatDataset(parts)


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


def draw_rows(count: int, size: int, name: str, seed: int) -> list[int]:
    """Draw the numbers of ``size`` out of ``count`` rows of a named task without replacement."""
    return random.Random(f"{seed}-{name}").sample(range(count), min(size, count))


def plain_rows(dataset: Any, numbers: Iterable[int]) -> list[Row]:
    """Return rows as Python containers, whatever format the data set hands out (torch, numpy)."""
    source = dataset.with_format(None) if hasattr(dataset, "with_format") else dataset
    return [dict(source[number]) for number in numbers]


def _listed(kept: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """Return a buffer with lists in place of tensors, which can be compared."""
    return {
        task: [{name: v.tolist() if isinstance(v, Tensor) else v for name, v in row.items()} for row in rows]
        for task, rows in kept.items()
    }


def stored_bytes(kept: Mapping[str, Sequence[Row]]) -> int:
    """Return the size of rows at 8 bytes a token id or label."""
    values = [row[name] for rows in kept.values() for row in rows for name in ("input_ids", "labels") if name in row]
    return sum(8 * (len(value) if hasattr(value, "__len__") else 1) for value in values)
