"""How long and how fast a model trains on one task: the same for all methods that are compared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The budget and optimizer setting that all compared methods share.

    Attributes:
        steps: Optimizer steps for each task.
        batch_size: Sequences in one step.
        learning_rate: Of AdamW without weight decay, after a warm-up of 5 % of the steps, falling linearly to zero. A
            method that does not train all weights may have a rate of its own.
        curve_points: How often each task's validation score is taken while one task is learned.
        size: Training examples of a task given by its name, as for ``Runtime.tasks``; None takes the task's own.
        new_size: As ``size``, for the tasks after the first.
        new_steps: As ``steps``, for the tasks after the first.
        max_length: Longest sequence in tokens; of texts the length of a block, the context of every perplexity.
        asked: Of each task, the first so many validation and test examples are scored; None scores all.
    """

    steps: int
    batch_size: int
    learning_rate: float
    curve_points: int = 6
    size: int | None = None
    max_length: int = 128
    new_size: int | None = None
    new_steps: int | None = None
    asked: int | None = None

    def steps_of(self, position: int) -> int:
        """Return the optimizer steps of the task at a position of the sequence."""
        return self.new_steps if position and self.new_steps is not None else self.steps

    def size_of(self, position: int) -> int | None:
        """Return the training examples of the task at a position of the sequence."""
        return self.new_size if position and self.new_size is not None else self.size


PLANS = {
    ("tiny", "dialogue"): Plan(30, 16, 5e-4),
    ("tiny", "text"): Plan(32, 8, 3e-4, curve_points=4, size=280, max_length=64),
    ("tiny", "classification"): Plan(300, 16, 1e-3),
    ("laptop", "dialogue"): Plan(45, 8, 3e-4, curve_points=3),
    ("laptop", "text"): Plan(20, 4, 1e-4, curve_points=2, size=80, max_length=64),
    ("laptop", "classification"): Plan(40, 16, 3e-4, curve_points=4),
    ("full", "dialogue"): Plan(300, 16, 5e-5),
    ("full", "text"): Plan(500, 16, 5e-5),
    ("full", "classification"): Plan(1000, 16, 3e-5),
}
"""Of the stored results."""

LIVE_PLANS = PLANS | {
    ("laptop", "dialogue"): Plan(16, 4, 3e-4, curve_points=2, asked=10),
    ("laptop", "text"): Plan(16, 2, 1e-4, curve_points=2, size=24, max_length=32, asked=8),
}
"""Of the runs that a notebook's reader waits for: shorter where a real language model trains on a few cores."""
