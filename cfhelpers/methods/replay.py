"""Keep a few old examples and mix them in (experience replay; Robins, 1995; Chaudhry et al., 2019)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, get_args

from torch import Tensor

from cfhelpers.methods.base import Method
from cfhelpers.methods.mixing import By, Row, balanced_rows, mix_rows, plain_rows, reservoir_sample, weight
from cfhelpers.tasks.encoding import EncodedTask

if TYPE_CHECKING:
    from datasets import Dataset


class Replay(Method):
    """Train on the new task mixed with a small sample of each old task's training examples.

    Args:
        buffer_size: Training examples kept of each task, drawn without replacement; of a stream, by reservoir sampling.
        fraction: In place of ``buffer_size``: the part of each task's tokens that is kept, in (0, 1].
        share: Share of the training data that comes from the buffer, between 0 and 1. Old tasks get equal parts of it,
            and within a task every kept row is repeated equally often ± 1.
        by: What ``share`` counts: "examples", or "tokens" where old and new examples differ in length.
        seed: Of the draw.

    Raises:
        ValueError: A buffer below 1 example, none or two sizes, a fraction outside (0, 1], a share outside (0, 1), or
            an unknown ``by``.
    """

    name = "replay"

    def __init__(
        self,
        buffer_size: int | None = None,
        *,
        fraction: float | None = None,
        share: float = 0.5,
        by: By = "examples",
        seed: int = 0,
    ) -> None:
        if (buffer_size is None) == (fraction is None):
            raise ValueError("say how much to keep: either buffer_size (examples) or fraction (of the tokens).")
        if buffer_size is not None and buffer_size < 1:
            raise ValueError(f"buffer_size must be at least 1 example, got {buffer_size}.")
        if fraction is not None and not 0 < fraction <= 1:
            raise ValueError(f"fraction must lie in (0, 1], got {fraction}.")
        if not 0 < share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {share}.")
        if by not in get_args(By):
            raise ValueError(f"by must be one of {', '.join(get_args(By))}, got {by!r}.")
        self.buffer_size, self.fraction, self.share, self.seed = buffer_size, fraction, share, seed
        self.by: By = by
        self.kept: dict[str, list[Row]] = {}
        self._is_mixed_in = False

    @classmethod
    def from_data(cls, old_data: Any, buffer_size: int | None = None, **settings: Any) -> Self:
        """Keep a sample of old training data, to be mixed into whatever a trainer is given next.

        Args:
            old_data: A data set with the columns of the new one (training examples only: a test example in here
                makes every later score of it worthless), a stream of such rows, or several by name.
            buffer_size: Examples kept of each.
            **settings: As for the class: ``fraction``, ``share``, ``by``, ``seed``.

        Returns:
            The method to give to ``ContinualTrainer(method=…)``.

        Raises:
            ValueError: There are no old data, or a ``fraction`` is wanted of a stream; and as for the class.
        """
        method = cls(buffer_size, **settings)
        for name, dataset in old_data.items() if isinstance(old_data, Mapping) else [("old data", old_data)]:
            method.kept[name] = method._sample(name, dataset)
        if not method.kept or not all(method.kept.values()):
            raise ValueError("there are no old examples to keep: the data set is empty.")
        return method

    def mix(self, dataset: Any) -> Any:
        """Return a trainer's new examples and so many repetitions of the buffer that it makes up ``share`` of all.

        Raises:
            ValueError: Nothing is kept yet, the data are a stream, or their columns are not those of the old data.
        """
        if not self.kept:
            raise ValueError(
                "this Replay keeps no old examples yet: make it with Replay.from_data(old_dataset, buffer_size=…)."
            )
        self._is_mixed_in = True
        return self._mix(dataset, "")

    def training_data(self, task: EncodedTask, seen: Sequence[EncodedTask]) -> Dataset:
        """Return the new examples with the buffer's, as ``mix`` does; the first task has no old ones."""
        return self._mix(task.train, task.name) if self.kept else task.train

    def _mix(self, dataset: Any, name: str) -> Any:
        dataset = mix_rows(dataset, [])  # refuses streams before anything counts their rows
        new = (
            len(dataset) if self.by == "examples" else sum(weight(dataset[row], self.by) for row in range(len(dataset)))
        )
        order = random.Random(f"{self.seed}-{name}")
        return mix_rows(dataset, balanced_rows(self.kept, new * self.share / (1 - self.share), self.by, order))

    def after_task(self, model: Any, task: EncodedTask) -> None:
        """Keep a sample of the training split, never of validation or test."""
        self.kept[task.name] = self._sample(task.name, task.train)

    def _sample(self, name: str, dataset: Any) -> list[Row]:
        generator = random.Random(f"{self.seed}-{name}")
        if not hasattr(dataset, "__len__"):
            if self.buffer_size is None:
                raise ValueError("nobody knows how many tokens a stream has: give buffer_size in place of fraction.")
            return [dict(row) for row in reservoir_sample(dataset, self.buffer_size, generator)]
        if self.buffer_size is not None:
            numbers = generator.sample(range(len(dataset)), min(self.buffer_size, len(dataset)))
            return plain_rows(dataset, numbers)
        rows = plain_rows(dataset, generator.sample(range(len(dataset)), len(dataset)))
        return _within(rows, (self.fraction or 0.0) * sum(weight(row, "tokens") for row in rows))

    def settings(self) -> dict[str, Any]:
        """Return what is kept and its share of the training data."""
        size = {"buffer_size": self.buffer_size} if self.fraction is None else {"fraction": self.fraction}
        return {**size, "share": self.share, **({} if self.by == "examples" else {"by": self.by})}

    def stored_bytes(self) -> int:
        """Return the size of the buffer at 8 bytes a token id or label."""
        return sum(8 * _numbers(row) for rows in self.kept.values() for row in rows)

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer."""
        return {"kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a buffer.

        Raises:
            ValueError: Another buffer is in the training data already.
        """
        if self._is_mixed_in and _listed(state["kept"]) != _listed(self.kept):
            raise ValueError(
                "the checkpoint's buffer is not the one in the training data: make the method with the same old data, "
                "size and seed as in the run that is resumed."
            )
        self.kept = state["kept"]


def _within(rows: list[Row], tokens: float) -> list[Row]:
    """Return the first rows that come nearest to a number of tokens, at least one."""
    kept, total = rows[:1], weight(rows[0], "tokens") if rows else 0
    for row in rows[1:]:
        total += weight(row, "tokens")
        if total - weight(row, "tokens") / 2 > tokens:
            break
        kept.append(row)
    return kept


def _listed(kept: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """Return a buffer with lists in place of tensors, which can be compared."""
    return {
        task: [{name: v.tolist() if isinstance(v, Tensor) else v for name, v in row.items()} for row in rows]
        for task, rows in kept.items()
    }


def _numbers(row: Row) -> int:
    """Count a row's token ids and labels."""
    values = (row.get("input_ids", ()), row.get("labels", ()))
    return sum(len(value) if isinstance(value, list) else 1 for value in values)
