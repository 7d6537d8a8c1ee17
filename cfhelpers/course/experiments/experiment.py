"""What an experiment is: tasks, methods, grids, and what is measured beside the scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cfhelpers.methods import Method
from cfhelpers.training.sequence import Learned

SELECTION_SEEDS = {"tiny": (100, 101), "laptop": (100,), "full": (100,)}
REPORTED_SEEDS = {"tiny": (0, 1, 2, 3, 4), "laptop": (0, 1, 2), "full": (0, 1, 2)}


@dataclass(frozen=True)
class Experiment:
    """One sequence of tasks and the methods compared on it.

    Attributes:
        chapter: Number of the notebook that shows it.
        name: Distinguishes the experiments of a chapter.
        role: Of the model.
        tasks: In the order of learning.
        plain: Methods without a strength, reported as they are.
        sweeps: For each profile, sweeps by name: methods with settings in rising strength, the same number in each.
        measure: Extra numbers taken after each task.
        learning_rates: For each profile, the rates of naive training, in rising order: the plan's is chosen among them
            by how well and how soon each task is learned, not by what is kept.
        profiles: Those in which it is run.
        curves: Sweeps of which every strength is reported in tiny, for a figure; of the others only the chosen one is.
            "learning rate" reports naive training with every rate.
        changes: Fields of the plan, such as ``steps``, that are not the profile's own.
        selection_seeds: With which settings are chosen, in place of the profile's own.
        reported_seeds: Of what is reported, in place of the profile's own.
        traces: Which of a record's two long parts, "curves" and "losses", are stored: those that somebody draws.
    """

    chapter: str
    name: str
    role: str
    tasks: tuple[str, ...]
    plain: tuple[Method, ...] = ()
    sweeps: Mapping[str, Mapping[str, Sequence[Method]]] = field(default_factory=dict)
    measure: Callable[[Learned], dict[str, float]] | None = None
    learning_rates: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    profiles: tuple[str, ...] = ("tiny", "laptop", "full")
    curves: tuple[str, ...] = ("ewc", "learning rate")
    changes: Mapping[str, Any] = field(default_factory=dict)
    selection_seeds: tuple[int, ...] | None = None
    reported_seeds: tuple[int, ...] | None = None
    traces: tuple[str, ...] = ("curves", "losses")
