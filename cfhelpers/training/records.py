"""What an experiment leaves behind: its numbers and where they came from, as JSON."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass
class Record:
    """One method, with one setting, learning one sequence of T tasks with S seeds.

    Attributes:
        role: The model's role, for instance "dialogpt".
        profile: "tiny", "laptop" or "full".
        tasks: Task names in the order of learning.
        method: Its ``name`` and settings.
        plan: Steps, batch size, learning rate: the same for all methods that are compared.
        metrics: Metric of each task: "recall", "accuracy" or "perplexity".
        higher_is_better: For each task.
        chance: Score of a guess, for each task.
        ceiling: Score of a perfect model, for each task.
        seeds: Seeds of the runs, in the order of ``results``.
        results: [S, T, T]; ``results[s][i][j]`` is the test score on task j after learning task i, NaN before task j
            has a head to be scored with.
        initial: [S, T]: test scores before any training.
        selection: [S, T]: validation scores at the end, for choosing between settings.
        curves: Validation scores along the way: dicts with seed, training (task), step (since the start), task, score.
        losses: Logged steps: dicts with seed, training, step, loss and what the method reports.
        seconds: Training time of each seed, without evaluation; processor seconds on the CPU, see ``busy_seconds``.
        peak_memory_bytes: Highest resident (CPU) or allocated (GPU) memory of the process so far.
        stored_bytes: What the method keeps between tasks.
        extra: Further measured numbers of an experiment, by name; a list has one entry per seed.
        provenance: Versions, device, threads, git revision, model source and date.
    """

    role: str
    profile: str
    tasks: list[str]
    method: dict[str, Any]
    plan: dict[str, Any]
    metrics: list[str]
    higher_is_better: list[bool]
    chance: list[float]
    ceiling: list[float]
    seeds: list[int] = field(default_factory=list)
    results: list[list[list[float]]] = field(default_factory=list)
    initial: list[list[float]] = field(default_factory=list)
    selection: list[list[float]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    losses: list[dict[str, Any]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    peak_memory_bytes: int = 0
    stored_bytes: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def matrix(self, seed: int | None = None) -> NDArray[np.float64]:
        """Return the result matrix [T, T] of one seed, or the mean over seeds.

        Raises:
            ValueError: The record has no such seed.
        """
        results = np.array(self.results, dtype=np.float64)
        if seed is None:
            return results.mean(axis=0)
        if seed not in self.seeds:
            raise ValueError(f"The record has seeds {self.seeds}, not {seed}.")
        return results[self.seeds.index(seed)]

    def scores(self, task: str, *, after: str | None = None) -> NDArray[np.float64]:
        """Return one test score per seed [S]: on ``task``, after learning ``after`` (the last task by default)."""
        row = self.tasks.index(after) if after is not None else len(self.tasks) - 1
        return np.array(self.results, dtype=np.float64)[:, row, self.tasks.index(task)]

    def after_switch(self, task: str, seed: int) -> NDArray[np.float64]:
        """Return the validation scores [n] on ``task`` from the end of its own training on, as far as they were taken.

        Raises:
            ValueError: The curves of this seed hold no score of the task after its own training began.
        """
        points = [each for each in self.curves if each["seed"] == seed and each["task"] == task]
        ends = [each["step"] for each in points if each["training"] == task]
        if not ends:
            raise ValueError(f"The curves of seed {seed} hold no score of {task!r} during its own training.")
        return np.array([each["score"] for each in points if each["step"] >= max(ends)], dtype=np.float64)

    @property
    def label(self) -> str:
        """The method and its settings in a few words."""
        settings = {name: value for name, value in self.method.items() if name != "name" and value is not None}
        shown = ", ".join(
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in settings.items()
        )
        return f"{self.method['name']} ({shown})" if shown else str(self.method["name"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record as JSON, first beside the target and then over it."""
        save_json(asdict(self), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a record.

        Raises:
            ValueError: The file is not a record.
        """
        return cls.from_dict(load_json(path))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make a record from what ``dataclasses.asdict`` returned.

        Raises:
            ValueError: A field is missing or unknown.
        """
        try:
            record = cls(**values)
        except TypeError as error:
            raise ValueError(f"Not a record: {error}") from error
        # JSON's null is a missing number here, but "no limit" among a method's settings.
        record.curves = [{**p, "score": float("nan") if p["score"] is None else p["score"]} for p in record.curves]
        return record


def save_json(values: Any, path: str | os.PathLike[str]) -> None:
    """Write JSON with NaN as null; the file appears whole or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.part")
    unfinished.write_text(json.dumps(_nan_to_none(values), allow_nan=False) + "\n", encoding="utf-8")
    os.replace(unfinished, target)


def load_json(path: str | os.PathLike[str]) -> Any:
    """Read JSON written by ``save_json``, with null as NaN inside lists of numbers."""
    try:
        return _none_to_nan(json.loads(Path(path).read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def _nan_to_none(value: Any) -> Any:
    if isinstance(value, float):
        return None if np.isnan(value) else float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _nan_to_none(each) for key, each in value.items()}
    return [_nan_to_none(each) for each in value] if isinstance(value, list | tuple) else value


def _none_to_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _none_to_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [float("nan") if each is None else _none_to_nan(each) for each in value]
    return value


def find_record(records: Sequence[Record], name: str, **settings: Any) -> Record:
    """Return the one record of a method with these settings.

    Raises:
        LookupError: There is none, or more than one.
    """
    wanted = {"name": name, **settings}
    found = [each for each in records if wanted.items() <= each.method.items()]
    if len(found) != 1:
        raise LookupError(
            f"{len(found)} records match {wanted}; there are: {', '.join(each.label for each in records)}"
        )
    return found[0]


def in_other_order(record: Record, tasks: Sequence[str]) -> Record:
    """Return the record as it would be had the tasks been learned in another order, for methods to which it is all one.

    Such a method learns every task by itself and forgets nothing, so that a score depends on the task alone.

    Args:
        record: Of a method for which no score changes after its task was learned.
        tasks: The same tasks in the other order.

    Returns:
        Results, initial and selection scores in that order; curves, losses and extra numbers, which belong to the run
        as it was, are left out.

    Raises:
        ValueError: Other tasks, or a score that changed while another task was learned.
    """
    if sorted(tasks) != sorted(record.tasks):
        raise ValueError(f"The record is of {', '.join(record.tasks)}, not of {', '.join(tasks)}.")
    results = np.array(record.results, dtype=np.float64)
    alone = np.diagonal(results, axis1=1, axis2=2)  # [S, T]
    learned = np.tri(len(tasks), dtype=bool)
    if not (results == alone[:, None, :])[:, learned].all():
        raise ValueError(f"{record.label}: a score changed after its task was learned, so the order may matter.")
    order = [record.tasks.index(task) for task in tasks]
    reordered = np.where(learned, alone[:, None, order], np.nan)
    per_task = {
        name: [getattr(record, name)[index] for index in order]
        for name in ("metrics", "higher_is_better", "chance", "ceiling")
    }
    per_seed = {
        name: [[row[index] for index in order] for row in getattr(record, name)] for name in ("initial", "selection")
    }
    labels = {name: record.extra[name] for name in ("experiment", "stage", "sweep", "chosen") if name in record.extra}
    empty: dict[str, Any] = {"curves": [], "losses": [], "extra": labels}
    return replace(record, tasks=list(tasks), results=reordered.tolist(), **per_task, **per_seed, **empty)


def _given(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a plan without what it leaves open, which older records do not mention."""
    return {name: value for name, value in plan.items() if value is not None}


PER_SEED = ("seeds", "results", "initial", "selection", "seconds")
"""Fields with one entry for each seed."""


def merge_seeds(records: Sequence[Record]) -> Record:
    """Join records of the same experiment with different seeds into one.

    Raises:
        ValueError: The records differ in more than their seeds, or share one.
    """
    first = records[0]
    for record in records[1:]:
        for name in ("role", "profile", "tasks", "method"):
            if getattr(record, name) != getattr(first, name):
                raise ValueError(f"Records differ in {name}: {getattr(first, name)} and {getattr(record, name)}.")
        if _given(record.plan) != _given(first.plan):
            raise ValueError(f"Records differ in plan: {first.plan} and {record.plan}.")
    seeds = [seed for record in records for seed in record.seeds]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"Records share a seed: {seeds}.")
    merged = copy.deepcopy(first)
    for record in records[1:]:
        for name in (*PER_SEED, "curves", "losses"):
            getattr(merged, name).extend(copy.deepcopy(getattr(record, name)))
        for name, values in record.extra.items():
            merged.extra[name] = [*merged.extra.get(name, []), *values]
        merged.peak_memory_bytes = max(merged.peak_memory_bytes, record.peak_memory_bytes)
        merged.stored_bytes = max(merged.stored_bytes, record.stored_bytes)
    return merged


def split_seeds(record: Record) -> list[Record]:
    """Return one record for each seed, so that ``merge_seeds`` gives this one back.

    What an experiment wrote beside the measured numbers (texts and truth values in ``extra``) is left out.
    """
    single = []
    for index, seed in enumerate(record.seeds):
        own: dict[str, Any] = {name: [getattr(record, name)[index]] for name in PER_SEED}
        own |= {name: [each for each in getattr(record, name) if each["seed"] == seed] for name in ("curves", "losses")}
        own["extra"] = {name: [each[index]] for name, each in record.extra.items() if isinstance(each, list)}
        single.append(replace(copy.deepcopy(record), **own))
    return single
