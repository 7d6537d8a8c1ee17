"""Progressive prompts: four tasks in two orders, learned beside the weights, in some of them, or in all."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from cfhelpers.course.experiments.chapter_05 import LINEAR
from cfhelpers.course.experiments.experiment import Experiment
from cfhelpers.environment import busy_seconds
from cfhelpers.evaluation.scores import evaluating, linear_probe
from cfhelpers.methods import (
    FreezeBottom,
    Joint,
    Naive,
    ProgressiveNetwork,
    ProgressivePrompts,
    PromptTuning,
    SeparateModels,
    WiSEFT,
)
from cfhelpers.models.prompted import with_prompts, without_prompts
from cfhelpers.training.records import Record, in_other_order
from cfhelpers.training.sequence import Learned

FOUR_TASKS = ("sst2", "topics", "mnli", "imdb")
STEPS = 120
LENGTH = 5

# Chosen below on validation data; tests/course/test_chapter_06.py compares them with the stored records.
PROMPT_RATE, SINGLE_PROMPT_RATE, HEAD_RATE, NETWORK_RATE, FROZEN_LAYERS = 0.03, 0.03, 0.03, 0.003, 1
LAPTOP_RATES = (0.001, 0.003, 0.01)
LAPTOP_LAYERS = (0, 1, 3)  # of six; 0 freezes the embeddings alone


def measure_step(learned: Learned, *, repeats: int = 5) -> dict[str, float]:
    """Return what one more training step on 16 texts of the first task would cost after the tasks so far.

    Always the same texts, so that what changes from task to task is what the method put in front of them or beside.

    Returns:
        ``step milliseconds`` (forward and backward, median; processor time on a CPU) and ``prompt vectors``, how many
        positions stand in front of each text; nothing before the first task.
    """
    if learned.n_learned == 0:
        return {}
    model: Any = learned.model
    batch = next(iter(learned.tasks[0].batches("train", 16)))
    batch["task_ids"].fill_(learned.n_learned - 1)
    batch["labels"].fill_(0)
    batch = {name: tensor.to(learned.run.device) for name, tensor in batch.items()}
    times = []
    with evaluating(model), torch.enable_grad():
        for _ in range(repeats):
            start = busy_seconds(learned.run.device)
            model(**batch).loss.backward()
            times.append(busy_seconds(learned.run.device) - start)
            model.zero_grad()
    prompts = getattr(getattr(model, "body", None), "prompts", [])
    return {"step milliseconds": 1e3 * statistics.median(times), "prompt vectors": float(sum(map(len, prompts)))}


def measure_reading(learned: Learned) -> dict[str, float]:
    """Return what each prompt is worth to each task: a fresh linear head's accuracy on the texts behind that prompt.

    Nothing is trained but the head, so that this is what a prompt, once learned, could hand on.

    Returns:
        After the last task ``TASK behind PROMPT`` for every pair, and ``TASK behind nothing``; nothing before.
    """
    if learned.n_learned < len(learned.tasks):
        return {}
    method: Any = learned.method
    bare = without_prompts(learned.model)
    readers = {"nothing": bare} | {name: with_prompts(bare, [prompt]) for name, prompt in method.prompts.items()}
    return {
        f"{task.name} behind {name}": linear_probe(reader, task)
        for task in learned.tasks
        for name, reader in readers.items()
    }


# Each task is learned by itself, so that the order of the tasks is all one.
BY_ITSELF = ("heads on a frozen body", "one prompt per task", "separate models")


def method_name(record: Record) -> str:
    """Return what the chapter calls a record's method."""
    name, settings = str(record.method["name"]), record.method
    if name == "freeze_bottom" and settings["layers"] is None:
        return BY_ITSELF[0]
    if name == "prompt_tuning":
        return "one shared prompt" if settings["shared"] else BY_ITSELF[1]
    return {"freeze_bottom": "frozen bottom", "wise_ft": "WiSE-FT"}.get(name) or name.replace("_", " ")


def by_order(records: Sequence[Record]) -> dict[str, dict[str, Record]]:
    """Return, for each order in which the tasks were learned, the reported records by their method's name.

    What learns each task by itself is read in an order in which it was not run from the first one.
    """
    orders: dict[str, dict[str, Record]] = {}
    for record in records:
        shown = record.extra["sweep"] == "" or record.extra["chosen"]
        if record.extra["experiment"] in COMPARED and record.extra["stage"] == "report" and shown:
            orders.setdefault(" → ".join(record.tasks), {})[method_name(record)] = record
    run_first = orders.get(" → ".join(FOUR_TASKS), {})
    for order, named in orders.items():
        for name in BY_ITSELF:
            if name in run_first and name not in named:
                named[name] = in_other_order(run_first[name], order.split(" → "))
    return orders


def references(named: Mapping[str, Record], tasks: Sequence[str]) -> dict[str, np.ndarray]:
    """Return what forward transfer and intransigence are measured against, as ``cf.tables.transfer`` takes it.

    Args:
        named: Records by the method's name.
        tasks: In the order that is asked for.

    Returns:
        ``single_task`` and ``joint``, ``[S, T]``; without what was not run.
    """
    return {
        argument: np.stack([named[name].scores(task) for task in tasks], axis=1)
        for argument, name in {"single_task": "separate models", "joint": "joint"}.items()
        if name in named
    }


# What the chapter's last table joins, with the records of chapter 5 on the same tasks.
TOGETHER = (
    "full fine-tuning",
    "naive",
    "shared LoRA",
    "O-LoRA",
    "merged LoRA",
    "OSF",
    LINEAR,
    "progressive prompts",
    "heads on a frozen body",
    "frozen bottom",
    "progressive network",
    "joint",
)

# The experiments that compare methods.
COMPARED = ("four tasks", "other order", "two tasks, laptop")

EXPERIMENTS = (
    Experiment(
        "06",
        "four tasks",
        "roberta",
        FOUR_TASKS,
        # The shared prompt takes the rate that one prompt per task chooses: it is the same training, task by task.
        (Naive(), Joint(), SeparateModels(), PromptTuning(LENGTH, shared=True, learning_rate=SINGLE_PROMPT_RATE)),
        {
            "tiny": {
                "progressive prompts": [
                    ProgressivePrompts(LENGTH, learning_rate=rate) for rate in (0.003, 0.01, 0.03, 0.1, 0.3)
                ],
                "one prompt per task": [
                    PromptTuning(LENGTH, learning_rate=rate) for rate in (0.003, 0.01, 0.03, 0.1, 0.3)
                ],
                "heads on a frozen body": [
                    FreezeBottom(first_task_too=True, learning_rate=rate) for rate in (0.001, 0.003, 0.01, 0.03, 0.1)
                ],
                "progressive network": [
                    ProgressiveNetwork(learning_rate=rate) for rate in (0.001, 0.003, 0.01, 0.03, 0.1)
                ],
                # Three layers are all that this encoder has; the last setting holds them from the first task on.
                "frozen bottom": [
                    *(FreezeBottom(layers) for layers in (0, 1, 2, 3)),
                    FreezeBottom(3, first_task_too=True),
                ],
            }
        },
        measure_step,
        profiles=("tiny",),
        curves=(),
        changes={"steps": STEPS, "curve_points": 2},
        selection_seeds=(100,),
    ),
    # With the settings chosen above. What treats each task by itself scores the same in every order: the heads show it.
    Experiment(
        "06",
        "other order",
        "roberta",
        FOUR_TASKS[::-1],
        (
            Naive(),
            PromptTuning(LENGTH, shared=True, learning_rate=SINGLE_PROMPT_RATE),
            ProgressivePrompts(LENGTH, learning_rate=PROMPT_RATE),
            FreezeBottom(first_task_too=True, learning_rate=HEAD_RATE),
            ProgressiveNetwork(learning_rate=NETWORK_RATE),
            FreezeBottom(FROZEN_LAYERS),
        ),
        measure=measure_step,
        profiles=("tiny",),
        curves=(),
        changes={"steps": STEPS, "curve_points": 2},
    ),
    Experiment(
        "06",
        "reading",
        "roberta",
        FOUR_TASKS,
        (PromptTuning(LENGTH, learning_rate=SINGLE_PROMPT_RATE),),
        measure=measure_reading,
        profiles=("tiny",),
        curves=(),
        changes={"steps": STEPS, "curve_points": 2},
    ),
    # Two tasks with the same labels, of which the second has little data.
    Experiment(
        "06",
        "32 examples",
        "roberta",
        ("imdb", "sst2"),
        (ProgressivePrompts(LENGTH, learning_rate=PROMPT_RATE), PromptTuning(LENGTH, learning_rate=SINGLE_PROMPT_RATE)),
        profiles=("tiny",),
        curves=(),
        changes={"steps": STEPS, "curve_points": 1, "new_size": 32},
    ),
    # Naive and joint training, with the same plan, are in the records of chapter 1.
    Experiment(
        "06",
        "two tasks, laptop",
        "roberta",
        ("sst2", "mnli"),
        sweeps={
            "laptop": {
                "progressive prompts": [ProgressivePrompts(LENGTH, learning_rate=rate) for rate in LAPTOP_RATES],
                "heads on a frozen body": [
                    FreezeBottom(first_task_too=True, learning_rate=rate) for rate in LAPTOP_RATES
                ],
                "frozen bottom": [FreezeBottom(layers) for layers in LAPTOP_LAYERS],
                "WiSE-FT": [WiSEFT(share) for share in (0.5, 0.7, 0.9)],
            }
        },
        profiles=("laptop",),
        changes={"curve_points": 1},
    ),
)
