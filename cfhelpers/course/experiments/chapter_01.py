"""Demonstrating forgetting: another task, and another domain."""

from __future__ import annotations

from cfhelpers.course.experiments.experiment import Experiment
from cfhelpers.evaluation.scores import linear_probe
from cfhelpers.methods import Joint, Naive
from cfhelpers.training.sequence import Learned


def measure_probes(learned: Learned) -> dict[str, float]:
    """Return the test accuracy of a fresh linear probe on the frozen encoder, for every task."""
    return {f"probe {task.name}": linear_probe(learned.model, task) for task in learned.tasks}


EXPERIMENTS = (
    Experiment(
        "01",
        "task change",
        "roberta",
        ("sst2", "mnli"),
        (Naive(), Joint()),
        measure=measure_probes,
        learning_rates={"tiny": (3e-4, 1e-3, 3e-3), "laptop": (1e-4, 3e-4, 1e-3)},
    ),
    Experiment("01", "domain change", "bert", ("imdb", "yelp"), (Naive(), Joint()), measure=measure_probes),
)
