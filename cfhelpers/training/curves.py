"""Learning curves: the score of every task while one of them is learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback

from cfhelpers.environment import busy_seconds
from cfhelpers.training.records import Record


class CurveCallback(TrainerCallback):
    """Takes validation scores of all tasks along the way, on a clock of its own, and moves the progress bar.

    Args:
        record: Of one seed; its plan says how many points a task gets, and its ``curves`` receive them.
        training: Name of the task being learned.
        steps: How many optimizer steps it gets.
        score: Returns one score for each of the record's tasks.
        bar: Counts optimizer steps.
        device: Where training runs; chooses the clock.
    """

    def __init__(
        self, record: Record, training: str, steps: int, score: Callable[[], list[float]], bar: tqdm[Any], device: str
    ) -> None:
        self.record, self.training, self.score, self.bar, self.device = record, training, score, bar, device
        points = record.plan["curve_points"]
        self.when = {round(steps * point / points) for point in range(1, points + 1)}
        self.before = max((entry["step"] for entry in record.curves), default=0)
        self.seconds = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the first point of the whole sequence."""
        if not self.record.curves:
            self._take(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take a point where one is due."""
        self.bar.update()
        if state.global_step in self.when:
            self._take(state.global_step)

    def _take(self, step: int) -> None:
        start = busy_seconds(self.device)
        for task, score in zip(self.record.tasks, self.score(), strict=True):
            entry = {"training": self.training, "step": self.before + step, "task": task, "score": score}
            self.record.curves.append({"seed": self.record.seeds[0], **entry})
        self.seconds += busy_seconds(self.device) - start
