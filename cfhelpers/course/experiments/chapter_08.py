"""Distillation: a persona, then a workplace; how far a model moves, and what that costs."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from cfhelpers import environment
from cfhelpers.course.experiments.experiment import Experiment
from cfhelpers.evaluation.scores import evaluate_task
from cfhelpers.fisher import Importance, fisher_diagonal
from cfhelpers.fisher.naming import named_parameters
from cfhelpers.methods import (
    EWC,
    L2SP,
    Combined,
    EntropyGated,
    Joint,
    LwF,
    Method,
    Naive,
    Replay,
    SelfDistillation,
    SelfDistillationFineTuning,
)
from cfhelpers.methods.divergence import Direction, mean_divergence
from cfhelpers.methods.penalty import QuadraticPenalty
from cfhelpers.models.copying import frozen_copy
from cfhelpers.tasks.encoding import EncodedTask, encode_task
from cfhelpers.training.sequence import Learned, learn_once
from cfhelpers.worlds.own_words import AskBack, Way, learn_to_ask_back

WAYS: tuple[Way, ...] = ("foreign words", "own right answers", "reward")
LESSONS = (1, 4, 16)
"""Facts that are learned again after forgetting."""
PREDICTORS = {
    "KL(old‖new), new inputs": "the old model's view of the new task's inputs",
    "KL(new‖old), new inputs": "the new model's view of the new task's inputs",
    "KL(old‖new), old inputs": "the old model's view of the old task's inputs",
    "KL(new‖old), old inputs": "the new model's view of the old task's inputs",
    "distance of the weights": "‖Δ‖",
    "Fisher-weighted distance": "½ ΔᵀFΔ with the diagonal F of the old task",
}


class Closeness:
    """Measures, at the end, how far a model has moved from where it stood after the first task.

    It has to see the model then: called after the first task it keeps a copy and its Fisher, and every run that goes
    on from there is compared with them.
    """

    def __init__(self) -> None:
        self._old: dict[int, torch.nn.Module] = {}
        self._penalty: dict[int, QuadraticPenalty] = {}

    def __call__(self, learned: Learned) -> dict[str, float]:
        """Return the distances by their names in ``PREDICTORS`` after the second task, else nothing."""
        seed = learned.run.seed
        if learned.n_learned == 1:
            importance = _fisher(learned)
            self._old = {seed: frozen_copy(learned.model)}  # of one seed at a time
            self._penalty = {seed: QuadraticPenalty(importance, learned.model, 1.0)}
        if learned.n_learned < 2:
            return {}
        return distances(learned, self._old[seed], self._penalty[seed])


def distances(learned: Learned, old: torch.nn.Module, penalty: QuadraticPenalty) -> dict[str, float]:
    """Return how far a model is from its old self, on test inputs of the new and of the old task and in its weights."""
    first, second = learned.tasks
    found = {}
    for name, task in (("new inputs", second), ("old inputs", first)):
        batches = list(task.batches("test", 64))
        found[f"KL(old‖new), {name}"] = mean_divergence(learned.model, old, batches)
        found[f"KL(new‖old), {name}"] = mean_divergence(learned.model, old, batches, direction="reverse")
    anchor = named_parameters(old)
    moved = [float((p.detach() - anchor[n]).square().sum()) for n, p in named_parameters(learned.model).items()]
    found["distance of the weights"] = sum(moved) ** 0.5
    found["Fisher-weighted distance"] = float(penalty.value(learned.model).detach())
    return found


def _fisher(learned: Learned) -> Importance:
    batches = learned.tasks[0].batches("train")
    return fisher_diagonal(learned.model, batches, variant="sample", seed=learned.run.seed, progress=False)


def measure_afterwards(learned: Learned) -> dict[str, float]:
    """Return what own words and foreign words cost the untouched model, and what relearning brings back at the end."""
    if learned.n_learned == 0:
        return own_words(learned)
    return relearning(learned) if learned.n_learned == 2 else {}


def own_words(learned: Learned) -> dict[str, float]:
    """Teach copies of a model to ask back in three ways; return what each still knows and how far it has moved."""
    world = AskBack(learned.tokenizer)
    sizes = {"knowledge": None, "dialogue": 100}
    tasks = {
        name: encode_task(learned.run.tasks(name, size=size)[0], learned.tokenizer) for name, size in sizes.items()
    }
    found = {f"before: {name}": evaluate_task(learned.model, task) for name, task in tasks.items()}
    _, right = world.replies(learned.model, 8, seed=learned.run.seed)
    found["before: right"] = float(right.float().mean())
    for way in WAYS:
        model = copy.deepcopy(learned.model)
        found[f"{way}: right"], updates = learn_to_ask_back(model, world, way, seed=learned.run.seed)
        found[f"{way}: updates"] = float(updates)
        replies, _ = world.replies(model, 4, seed=learned.run.seed)
        found[f"{way}: KL(new‖old)"] = mean_divergence(model, learned.model, [replies], direction="reverse")
        found |= {f"{way}: {name}": evaluate_task(model, task) for name, task in tasks.items()}
    return found


def relearning(learned: Learned) -> dict[str, float]:
    """Learn a few old facts again and test the others; beside it, a model that never knew any of them."""
    stranger = learn_once(
        learned.run, learned.record.role, [learned.tasks[1].task], Naive(), plan=learned.plan, progress=False
    )
    found = {}
    for k in LESSONS:
        lesson, others = split_facts(learned.tasks[0], k, learned.run.seed)
        for name, model in (("forgotten", learned.model), ("never known", stranger.model)):
            found[f"{name}, before {k}"] = evaluate_task(model, others)
            found[f"{name}, after {k}"] = evaluate_task(relearned(model, lesson, learned), others)
    return found


def split_facts(task: EncodedTask, k: int, seed: int) -> tuple[EncodedTask, EncodedTask]:
    """Return a task with k of its facts only, and one with all the others."""
    facts = sorted(set(task.task.train["fact"]))
    chosen = set(random.Random(f"{seed}-{k}").sample(facts, k))

    def only(kept: set[str]) -> EncodedTask:
        splits = {}
        for name in ("train", "validation", "test"):
            names = getattr(task.task, name)["fact"]
            splits[name] = getattr(task, name).select([row for row, fact in enumerate(names) if fact in kept])
        return EncodedTask(task.task, **splits, collate=task.collate, task_id=task.task_id)

    return only(chosen), only(set(facts) - chosen)


def relearned(
    model: torch.nn.Module, lesson: EncodedTask, learned: Learned, *, steps: int = 10, learning_rate: float = 1e-4
) -> torch.nn.Module:
    """Return a copy of a model after a short, gentle lesson, at the plan's batch size.

    At this rate the lesson is known by heart at the end, and what a model that never saw the facts knows of the others
    stays as it was; at the plan's rate, five times higher, one fact repeated so often drives out all others.
    """
    environment.seed_everything(learned.run.seed)
    student = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW(student.parameters(), lr=learning_rate, weight_decay=0.0)
    rows = [row for _ in range(steps) for row in range(len(lesson.train))]
    for step in range(steps):
        start = step * learned.plan.batch_size % len(lesson.train)
        numbers = rows[start : start + min(learned.plan.batch_size, len(lesson.train))]
        batch = lesson.collate([lesson.train[number] for number in numbers])
        student(**{name: tensor.to(learned.run.device) for name, tensor in batch.items()}).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return student


def _one_of_each() -> tuple[Method, ...]:
    """Methods at a strength near the one that the comparison chooses, for the cloud of distances."""
    return (
        Naive(),
        EntropyGated(),
        EWC(3e3, variant="sample"),
        L2SP(0.3),
        LwF(0.3),
        Replay(16, share=0.25),
        SelfDistillation(1.0),
    )


_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
_OWN_STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
_SLOWER = "rate 0.00025, 60 steps"
DIRECTIONS: tuple[Direction, ...] = ("forward", "reverse")


def _persona(
    profile: str, plain: tuple[Method, ...], sweeps: Mapping[str, list[Method]], **settings: Any
) -> Experiment:
    """Where the old model is asked, and how hard it pulls, in one profile."""
    return Experiment(
        "08",
        "persona",
        "dialogpt",
        ("persona", "workplace"),
        plain,
        {profile: sweeps},
        profiles=(profile,),
        curves=(),
        selection_seeds=(100,),
        **settings,
    )


def _cloud(name: str, methods: tuple[Method, ...], **changes: Any) -> Experiment:
    """Further points for the cloud of distances, each with another plan."""
    return Experiment(
        "08",
        name,
        "dialogpt",
        ("persona", "workplace"),
        methods,
        measure=Closeness(),
        profiles=("tiny",),
        curves=(),
        changes=changes,
    )


EXPERIMENTS = (
    _persona(
        "tiny",
        (Naive(), Joint(), EntropyGated()),
        {
            "lwf": [LwF(strength) for strength in _STRENGTHS],
            "lwf_reverse": [LwF(strength, temperature=1.0, direction="reverse") for strength in _STRENGTHS],
            "lwf_replay": [Combined([Replay(16, share=0.25), LwF(strength)]) for strength in _STRENGTHS],
            "own_texts": [SelfDistillation(strength) for strength in _OWN_STRENGTHS],
            "ewc": [EWC(strength, variant="sample") for strength in (3e2, 1e3, 3e3, 1e4, 3e4)],
        },
        measure=Closeness(),
    ),
    # Naive and joint training of this model are in the records of chapter 3. The second strength is reported whether or
    # not the selection seed prefers it: one seed is little to choose by.
    _persona(
        "laptop", (LwF(0.4),), {"lwf": [LwF(strength) for strength in (0.1, 0.4, 1.6)]}, changes={"curve_points": 1}
    ),
    *(
        Experiment(
            "08",
            "self-distillation fine-tuning",
            "dialogpt",
            ("persona", "workplace"),
            (SelfDistillationFineTuning(),),
            profiles=(profile,),
            changes={"curve_points": 1},
            reported_seeds=seeds,
        )
        for profile, seeds in (("tiny", None), ("laptop", (0,)))  # it writes at every step, which a laptop feels
    ),
    Experiment(
        "08",
        "direction",
        "dialogpt",
        ("persona", "workplace"),
        tuple(
            LwF(strength, temperature=1.0, direction=direction)
            for direction in DIRECTIONS
            for strength in (0.1, 0.3, 0.6, 1.2)
        ),
        profiles=("tiny",),
        curves=(),
        changes={"curve_points": 1},
    ),
    *(
        _cloud(f"{steps} new steps", (Naive(), EntropyGated()), new_steps=steps, curve_points=1)
        for steps in (12, 20, 45)  # 30 are the plan's own, above
    ),
    *(_cloud(f"rate {rate:g}, 30 steps", (Naive(),), learning_rate=rate, curve_points=1) for rate in (1e-3, 1.5e-3)),
    replace(_cloud(_SLOWER, _one_of_each(), learning_rate=2.5e-4, steps=60), reported_seeds=(0,)),
    replace(
        _cloud(
            f"{_SLOWER}, other seeds",
            (Naive(), EWC(3e3, variant="sample"), LwF(0.3)),
            learning_rate=2.5e-4,
            steps=60,
            curve_points=1,
        ),
        reported_seeds=(1, 2),
    ),
    Experiment(
        "08",
        "afterwards",
        "dialogpt",
        ("persona", "workplace"),
        (Naive(),),
        measure=measure_afterwards,
        profiles=("tiny",),
        curves=(),
        reported_seeds=(0, 1),
    ),
)
