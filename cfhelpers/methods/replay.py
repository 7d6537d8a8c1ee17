"""Keep a few old examples and mix them in (experience replay; Robins, 1995; Chaudhry et al., 2019)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Self, get_args

from cfhelpers.methods.choice import Choice, choose_rows
from cfhelpers.methods.mixing import By, MixingMethod, Row, draw_rows, has_target, plain_rows, reservoir_sample, weight
from cfhelpers.tasks.encoding import EncodedTask


class Replay(MixingMethod):
    """Train on the new task mixed with a small sample of each old task's training examples.

    Args:
        buffer_size: Training examples kept of each task, drawn without replacement; of a stream, by reservoir sampling.
        fraction: In place of ``buffer_size``: the part of each task's tokens that is kept, in (0, 1].
        share: Share of the training data that comes from the buffer, between 0 and 1. Old tasks get equal parts of it,
            and within a task every kept row is repeated equally often ± 1.
        by: What ``share`` counts: "examples", or "tokens" where old and new examples differ in length.
        whole_buffer: Repeat the *new* data so often that every kept row has its turn. Without it, fewer rows than are
            kept are used where ``share`` asks for fewer; with it an epoch is longer.
        choice: Which ``buffer_size`` examples are kept, see ``choose_rows``; all but "random" need a sequence of tasks
            (``learn_sequence``), and "hardest" and "herding" a language model.
        seed: Of the draw.

    Raises:
        ValueError: A buffer below 1 example, none or two sizes, a fraction outside (0, 1], a share outside (0, 1), an
            unknown ``by`` or ``choice``, or a choice other than "random" with a ``fraction``.
    """

    name = "replay"

    def __init__(
        self,
        buffer_size: int | None = None,
        *,
        fraction: float | None = None,
        share: float = 0.5,
        by: By = "examples",
        whole_buffer: bool = False,
        choice: Choice = "random",
        seed: int = 0,
    ) -> None:
        if (buffer_size is None) == (fraction is None):
            raise ValueError("say how much to keep: either buffer_size (examples) or fraction (of the tokens).")
        if buffer_size is not None and buffer_size < 1:
            raise ValueError(f"buffer_size must be at least 1 example, got {buffer_size}.")
        if fraction is not None and not 0 < fraction <= 1:
            raise ValueError(f"fraction must lie in (0, 1], got {fraction}.")
        if choice not in get_args(Choice):
            raise ValueError(f"choice must be one of {', '.join(get_args(Choice))}, got {choice!r}.")
        if fraction is not None and choice != "random":
            raise ValueError(f"a fraction of the tokens is drawn; choice={choice!r} needs buffer_size (examples).")
        super().__init__(share, by=by, seed=seed)
        self.buffer_size, self.fraction, self.whole_buffer = buffer_size, fraction, whole_buffer
        self.choice: Choice = choice

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
            ValueError: There are no old data, none of what was kept has a target, a ``fraction`` is wanted of a
                stream, or another ``choice`` than "random"; and as for the class.
        """
        method = cls(buffer_size, **settings)
        if method.choice != "random":
            raise ValueError(
                f"choice={method.choice!r} looks at the model at the end of a task, which learn_sequence knows: here "
                'leave it at "random", or hand over the examples that you have chosen.'
            )
        for name, dataset in old_data.items() if isinstance(old_data, Mapping) else [("old data", old_data)]:
            method.kept[name] = method._sample(name, dataset)
        if not method.kept or not all(method.kept.values()):
            raise ValueError("there are no old examples to keep: the data set is empty.")
        for name, rows in method.kept.items():
            if "labels" in rows[0] and not any(has_target(row) for row in rows):
                raise ValueError(f"every label of the {name} is −100, so that nothing of them would be learned again.")
        return method

    def after_task(self, model: Any, task: EncodedTask) -> None:
        """Keep a sample of the training split, never of validation or test."""
        if self.choice == "random" or self.buffer_size is None:
            self.kept[task.name] = self._sample(task.name, task.train)
            return
        generator = random.Random(f"{self.seed}-{task.name}")
        numbers = choose_rows(self.choice, model, task, self.buffer_size, generator)
        self.kept[task.name] = plain_rows(task.train, numbers)

    def _sample(self, name: str, dataset: Any) -> list[Row]:
        generator = random.Random(f"{self.seed}-{name}")
        if not hasattr(dataset, "__len__"):
            if self.buffer_size is None:
                raise ValueError("nobody knows how many tokens a stream has: give buffer_size in place of fraction.")
            return [dict(row) for row in reservoir_sample(dataset, self.buffer_size, generator)]
        if self.buffer_size is not None:
            return plain_rows(dataset, draw_rows(len(dataset), self.buffer_size, name, self.seed))
        rows = plain_rows(dataset, generator.sample(range(len(dataset)), len(dataset)))
        return _within(rows, (self.fraction or 0.0) * sum(weight(row, "tokens") for row in rows))

    def settings(self) -> dict[str, Any]:
        """Return what is kept and its share of the training data."""
        size = {"buffer_size": self.buffer_size} if self.fraction is None else {"fraction": self.fraction}
        rare = {"by": self.by} if self.by != "examples" else {}
        rare |= {"choice": self.choice} if self.choice != "random" else {}
        return {**size, "share": self.share, **rare, **({"whole_buffer": True} if self.whole_buffer else {})}


def _within(rows: list[Row], tokens: float) -> list[Row]:
    """Return the first rows that come nearest to a number of tokens, at least one."""
    kept, total = rows[:1], weight(rows[0], "tokens") if rows else 0
    for row in rows[1:]:
        total += weight(row, "tokens")
        if total - weight(row, "tokens") / 2 > tokens:
            break
        kept.append(row)
    return kept
