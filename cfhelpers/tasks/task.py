"""What a task is: examples in three disjoint splits and how they are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datasets import Dataset

Kind = Literal["dialogue", "text", "classification"]
Metric = Literal["recall", "perplexity", "accuracy"]
Row = dict[str, str | int]
"""One example as it is written down: a value for each column."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "dialogue": ("question", "answer", "fact", "phrasing"),
    "text": ("text",),
    "classification": ("text", "label"),
}


@dataclass(frozen=True)
class Task:
    """One thing to learn: readable examples, split three ways, with the score that belongs to it.

    Attributes:
        name: One of :data:`cfhelpers.tasks.TASK_NAMES`.
        kind: ``"dialogue"`` has the columns question, answer, fact (identifier) and phrasing (index);
            ``"text"`` has text; ``"classification"`` has text, label and for sentence pairs text_pair.
        train: Examples to learn from.
        validation: Examples to choose settings with.
        test: Examples to report. No text occurs in two splits.
        metric: Recall (share of questions answered exactly, by greedy generation), perplexity per token, or accuracy.
        higher_is_better: False for perplexity only.
        ceiling: What a perfect model scores on ``test``; NaN where it depends on the tokenizer or is unknown.
        chance: What a model scores that knows nothing of the task; NaN where it depends on the tokenizer.
        label_names: Names of the classes in the order of their labels; empty unless ``kind`` is classification.
        source: ``"generated"``, ``"written"``, or the data set on the hub.
    """

    name: str
    kind: Kind
    train: Dataset
    validation: Dataset
    test: Dataset
    metric: Metric
    higher_is_better: bool
    ceiling: float
    chance: float
    label_names: tuple[str, ...] = ()
    source: str = "generated"

    def __post_init__(self) -> None:
        """Refuse a split without the columns that the kind of task promises."""
        for split, dataset in self.splits().items():
            missing = [column for column in COLUMNS[self.kind] if column not in dataset.column_names]
            if missing:
                raise ValueError(f"task {self.name!r}: {split} lacks the columns {missing}")

    def splits(self) -> dict[str, Dataset]:
        """Return the three splits by name, in the order train, validation, test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def recall_task(name: str, rows: Mapping[str, Sequence[Row]], *, chance: float, source: str = "generated") -> Task:
    """Make a task of questions that are answered exactly or not.

    Args:
        name: Of the task.
        rows: With the columns of a dialogue, for each of the splits train, validation and test.
        chance: Share of the questions that a model answers which knows nothing of the task.
        source: As in ``Task``.
    """
    from datasets import Dataset

    train, validation, test = (Dataset.from_list(list(rows[split])) for split in ("train", "validation", "test"))
    return Task(
        name,
        "dialogue",
        train,
        validation,
        test,
        metric="recall",
        higher_is_better=True,
        ceiling=1.0,
        chance=chance,
        source=source,
    )
