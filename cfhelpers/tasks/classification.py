"""Generated classification tasks: balanced classes in three splits that share no text."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from cfhelpers.tasks.task import Task

Texts = tuple[str, ...]
"""One example's text, or its two texts."""

DEFAULT_SIZE = 1200
HELD_OUT = {"validation": 200, "test": 400}
# Texts drawn in vain before a size is called too large: only a nearly exhausted grammar repeats itself so often.
MAX_REPEATS = 2000


def classification_task(
    name: str,
    write: Callable[[int, random.Random], Texts],
    label_names: tuple[str, ...],
    *,
    seed: int,
    size: int | None,
) -> Task:
    """Write a task's three splits; every text occurs once and has only one right label, so the ceiling is 1.

    Args:
        name: Name of the task.
        write: Writes the text (or two texts) of one example, given its label and a source of randomness.
        label_names: Names of the classes; each has its share of every split, to within one example.
        seed: Chooses the texts; the splits of one seed are disjoint, those of two seeds are not.
        size: Number of training examples; by default 1200.

    Raises:
        ValueError: The grammar cannot write that many different texts.
    """
    from datasets import Dataset

    generator = random.Random(f"{name}/{seed}")
    seen: set[Texts] = set()
    splits = {}
    # The held-out splits come first, so that another training size leaves them as they are.
    for split, count in (*HELD_OUT.items(), ("train", DEFAULT_SIZE if size is None else size)):
        labels = [index % len(label_names) for index in range(count)]
        generator.shuffle(labels)
        texts = [_write_new(name, write, label, generator, seen) for label in labels]
        columns = dict(zip(("text", "text_pair"), map(list, zip(*texts, strict=True)), strict=False))
        splits[split] = Dataset.from_dict({**columns, "label": labels})
    return Task(
        name=name,
        kind="classification",
        **splits,
        metric="accuracy",
        higher_is_better=True,
        ceiling=1.0,
        chance=1 / len(label_names),
        label_names=label_names,
    )


def _write_new(
    name: str, write: Callable[[int, random.Random], Texts], label: int, generator: random.Random, seen: set[Texts]
) -> Texts:
    for _ in range(MAX_REPEATS):
        texts = write(label, generator)
        if texts not in seen:
            seen.add(texts)
            return texts
    raise ValueError(f"the task {name!r} has too few different texts for this size; choose a smaller one")


def with_article(text: str) -> str:
    """Turn "a" into "an" before a vowel."""
    return re.sub(r"\b([aA])(?= [aeiou])", r"\1n", text)
