"""LoRA: one adapter through all tasks, one per task, merged, kept orthogonal; and weights that go half way back."""

from __future__ import annotations

from cfhelpers.course.experiments.experiment import Experiment
from cfhelpers.methods import Joint, LoRA, Method, Naive, OrthogonalLoRA, WiSEFT
from cfhelpers.methods.adapters import Targets

RATES = (4e-4, 1e-3, 2.5e-3, 6e-3, 1.6e-2)
# The rates of adapters that are not swept themselves: what the sweeps over all layers at rank 4 choose, of a shared
# adapter on the persona and of one adapter per task on sst2 and mnli.
RATE, ENCODER_RATE = 2.5e-3, 6e-3
RANK = 4
FOUR_TASKS = ("sst2", "topics", "mnli", "imdb")


def over_rates(rank: int, targets: Targets = "all") -> list[Method]:
    """Return one shared adapter with every rate."""
    return [LoRA(rank, targets=targets, learning_rate=rate) for rate in RATES]


# Full fine-tuning at its own rates is in the records of chapters 3 (persona) and 4 (domains), with the same plans.
EXPERIMENTS = (
    Experiment(
        "05",
        "persona",
        "dialogpt",
        ("persona", "workplace"),
        (
            LoRA(RANK, mode="told", learning_rate=RATE),
            LoRA(RANK, mode="chosen", learning_rate=RATE),
            LoRA(RANK, mode="merged", learning_rate=RATE),
        ),
        {
            "tiny": {
                "all": over_rates(RANK),
                # As many trained parameters as "all" has, but for one in sixteen.
                "attention": over_rates(10, "attention"),
                "mlp": over_rates(6, "mlp"),
                "all, rank 16": over_rates(16),
                "wise_ft": [WiSEFT(share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)],
                "orthogonal_lora": [
                    OrthogonalLoRA(RANK, strength=strength, learning_rate=RATE)
                    for strength in (0.05, 0.5, 5.0, 50.0, 500.0)
                ],
            },
        },
        profiles=("tiny",),
        curves=("all",),
        changes={"curve_points": 2},
        selection_seeds=(100,),
    ),
    Experiment(
        "05",
        "domains",
        "gpt2",
        ("wikitext", "dialogue"),
        sweeps={"tiny": {"all": over_rates(RANK)}},
        profiles=("tiny",),
        curves=(),
        changes={"curve_points": 2},
    ),
    # Fewer steps than the encoder's plan has, so that four tasks in two orders can be run with many methods.
    Experiment(
        "05",
        "two tasks",
        "roberta",
        ("sst2", "mnli"),
        (Naive(),),
        {"tiny": {"told": [LoRA(RANK, mode="told", learning_rate=rate) for rate in RATES]}},
        profiles=("tiny",),
        curves=(),
        changes={"steps": 120, "curve_points": 2},
        selection_seeds=(100,),
    ),
    Experiment(
        "05",
        "four tasks",
        "roberta",
        FOUR_TASKS,
        (
            Naive(),
            Joint(),
            # A shared adapter with both rates: what teaches one task best is not what four in a row bear.
            LoRA(RANK, learning_rate=RATE),
            LoRA(RANK, learning_rate=ENCODER_RATE),
            LoRA(RANK, mode="merged", learning_rate=ENCODER_RATE),
            OrthogonalLoRA(RANK, learning_rate=ENCODER_RATE),
        ),
        profiles=("tiny",),
        changes={"steps": 120, "curve_points": 2},
    ),
    Experiment(
        "05",
        "four tasks, other order",
        "roberta",
        FOUR_TASKS[::-1],
        # Naive training in this order is in the records of chapter 6.
        (LoRA(RANK, learning_rate=ENCODER_RATE), OrthogonalLoRA(RANK, learning_rate=ENCODER_RATE)),
        profiles=("tiny",),
        changes={"steps": 120, "curve_points": 2},
    ),
)
