"""The task ``knowledge``: what the untouched model knows, as a probe of what learning something else destroys."""

from __future__ import annotations

import random

from cfhelpers.tasks.general_knowledge import INSTRUCTIONS, RELATIONS
from cfhelpers.tasks.task import Row, Task, recall_task
from cfhelpers.tasks.world import world_facts

_DEFAULT_SIZE = 60
_SPLITS = ("train", "validation", "test")


def make(name: str, profile: str, *, seed: int = 0, size: int | None = None) -> Task:
    """Make the task ``knowledge``: every fact in each split, in other words.

    In ``tiny`` the facts are those of the world that the model was pretrained on, and the phrasings for validation and
    test were held out of its pretraining for these facts. In ``laptop`` and ``full`` they are written
    general-knowledge questions.

    Args:
        name: ``"knowledge"``.
        profile: Decides where the facts come from.
        seed: Chooses the facts.
        size: Number of facts; None: 60.

    Raises:
        ValueError: ``size`` is larger than the number of facts.
    """
    size = _DEFAULT_SIZE if size is None else size
    known = _world_rows() if profile == "tiny" else _written_rows()
    if size > len(known):
        raise ValueError(f"task {name!r} has {len(known)} facts in the profile {profile!r}, not {size}")
    generator = random.Random(f"{name} {seed}")
    chosen = generator.sample(known, size)
    splits = {split: [row for rows in chosen for row in rows[split]] for split in _SPLITS}
    return recall_task(name, splits, chance=0.0, source="generated" if profile == "tiny" else "written")


def _world_rows() -> list[dict[str, list[Row]]]:
    """Return each fact of the world as rows by split: five phrasings for training, one each for the others."""
    return [
        {
            split: [_row(question, fact.answer, fact.identifier, index) for index, question in fact.questions(split)]
            for split in _SPLITS
        }
        for fact in world_facts()
    ]


def _written_rows() -> list[dict[str, list[Row]]]:
    """Return each general-knowledge fact as rows by split, one instruction for each split."""
    return [
        {
            split: [_row(f"{instruction} {question}", answer, f"{relation.key}.{subject}", index)]
            for index, (split, instruction) in enumerate(zip(_SPLITS, INSTRUCTIONS, strict=True))
        }
        for relation in RELATIONS
        for subject, known in relation.pairs
        for question, answer in [(relation.question.format(subject), relation.answer.format(subject, known))]
    ]


def _row(question: str, answer: str, fact: str, phrasing: int) -> Row:
    return {"question": question, "answer": answer, "fact": fact, "phrasing": phrasing}
