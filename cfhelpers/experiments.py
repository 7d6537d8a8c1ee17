"""The experiments whose results the notebooks show: tasks, methods, grids, seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cfhelpers.evaluation import evaluate_task, linear_probe
from cfhelpers.methods import EWC, L2SP, Joint, Method, Naive, Replay
from cfhelpers.tasks.encoding import encode_task
from cfhelpers.training import Learned

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
        sweeps: For each profile, methods with settings in rising strength; the same number for each method.
        measure: Extra numbers taken after each task.
        learning_rates: For each profile, the rates of naive training, in rising order: the plan's is chosen among them
            by how well and how soon each task is learned, not by what is kept. All are reported in tiny.
    """

    chapter: str
    name: str
    role: str
    tasks: tuple[str, ...]
    plain: tuple[Method, ...] = ()
    sweeps: Mapping[str, Mapping[str, Sequence[Method]]] = field(default_factory=dict)
    measure: Callable[[Learned], dict[str, float]] | None = None
    learning_rates: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def measure_probes(learned: Learned) -> dict[str, float]:
    """Return the test accuracy of a fresh linear probe on the frozen encoder, for every task."""
    return {f"probe {task.name}": linear_probe(learned.model, task) for task in learned.tasks}


def measure_generality(learned: Learned) -> dict[str, float]:
    """Return what is left of the rest: recall of general knowledge and perplexity of general dialogue."""
    sizes = {"knowledge": None, "dialogue": 100}  # a quarter as many dialogues are tested, which a laptop can bear
    tasks = {name: learned.run.tasks(name, size=size)[0] for name, size in sizes.items()}
    encoded = {name: encode_task(task, learned.tokenizer) for name, task in tasks.items()}
    return {name: evaluate_task(learned.model, task) for name, task in encoded.items()}


EXPERIMENTS: tuple[Experiment, ...] = (
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
    Experiment(
        "03",
        "persona",
        "dialogpt",
        ("persona", "workplace"),
        (Naive(), Joint()),
        {
            "tiny": {
                "ewc": [EWC(strength, variant="sample") for strength in (3e2, 1e3, 3e3, 1e4, 3e4)],
                "l2sp": [L2SP(strength) for strength in (1e-3, 1e-2, 0.1, 1.0, 10.0)],
                "replay": [Replay(16, share=share) for share in (0.1, 0.25, 0.5, 0.75, 0.9)],
            },
            "laptop": {
                "ewc": [EWC(strength) for strength in (1e4, 1e5, 1e6)],
                "l2sp": [L2SP(strength) for strength in (0.01, 0.1, 1.0)],
            },
        },
        measure_generality,
        {"tiny": (1.5e-4, 5e-4, 1.5e-3)},
    ),
)
