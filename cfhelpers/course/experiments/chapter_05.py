"""LoRA: one adapter through all tasks, one per task, merged, kept orthogonal; and weights that go half way back."""

from __future__ import annotations

from collections.abc import Sequence

from cfhelpers.course.experiments.experiment import Experiment
from cfhelpers.methods import Joint, LoRA, Method, Naive, OrthogonalLoRA, OrthogonalSubspace, WiSEFT
from cfhelpers.methods.adapters import Targets
from cfhelpers.methods.lora import Mode
from cfhelpers.training.records import Record

RATES = (4e-4, 1e-3, 2.5e-3, 6e-3, 1.6e-2)
RANK = 4
PERSONA, TWO_TASKS, FOUR_TASKS = ("persona", "workplace"), ("sst2", "mnli"), ("sst2", "topics", "mnli", "imdb")

# Of what is not swept itself: what the sweeps over all layers at rank 4 choose, of a shared adapter on the persona and
# of one adapter per task on sst2 and mnli.
RATE, ENCODER_RATE = 2.5e-3, 6e-3
# What OSF trains when it holds nothing: the weights of the linear layers, with all else as frozen as in OSF.
LINEAR = "linear weights alone"
# What each prefers on four tasks, as the sweeps of "four tasks" choose; full fine-tuning's rates lie around the plan's.
FOUR_RATES = {
    "full fine-tuning": 4e-4,
    "shared LoRA": 1e-3,
    "merged LoRA": 6e-3,
    "O-LoRA": 1e-3,
    "OSF": 1e-3,
    LINEAR: 4e-4,
}
WEIGHT_RATES = (1.6e-4, 4e-4, 1e-3, 2.5e-3, 6e-3)
CHOOSING = (100,)  # a seed that is not reported
SHORT = {"steps": 120, "curve_points": 2}  # fewer than the encoder's plan has, for many methods in two orders


def over_rates(
    rank: int = RANK, *, targets: Targets = "all", mode: Mode = "shared", rates: Sequence[float] = RATES
) -> list[Method]:
    """Return the same adapters with every rate."""
    return [LoRA(rank, mode=mode, targets=targets, learning_rate=rate) for rate in rates]


# The experiments that compare methods on four tasks.
ALL_WEIGHTS = ("four tasks, all weights", "four tasks, all weights, other order")
COMPARED = (*ALL_WEIGHTS, "four tasks", "four tasks, other order")


def kind_on_four(record: Record) -> str:
    """Return what the chapter calls a method on four tasks, whatever its rate."""
    others = {"naive": "full fine-tuning", "joint": "joint", "orthogonal_lora": "O-LoRA"}
    others["orthogonal_subspace"] = "OSF" if record.method.get("preserved") else LINEAR
    return others.get(record.method["name"]) or f"{record.method['mode']} LoRA"


def name_on_four(record: Record) -> str:
    """Return what the chapter calls a method on four tasks, with the rate where it is not the preferred one."""
    kind, rate = kind_on_four(record), record.method.get("learning_rate") or record.plan["learning_rate"]
    return kind if rate == FOUR_RATES.get(kind, rate) else f"{kind} at {rate:g}"


def by_order(records: Sequence[Record]) -> dict[str, dict[str, Record]]:
    """Return, for each order in which the four tasks were learned, the reported records by name."""
    orders: dict[str, dict[str, Record]] = {}
    reported = [each for each in records if each.extra["stage"] == "report"]
    for experiment in COMPARED:
        for record in (each for each in reported if each.extra["experiment"] == experiment):
            orders.setdefault(" → ".join(record.tasks), {})[name_on_four(record)] = record
    return orders


# Full fine-tuning at its other rates is in the records of chapters 3 (persona) and 4 (domains), with the same plans.
EXPERIMENTS = (
    Experiment(
        "05",
        "persona",
        "dialogpt",
        PERSONA,
        sweeps={
            "tiny": {
                "all": over_rates(),
                # As many trained parameters as "all" has, but for one in sixteen.
                "attention": over_rates(10, targets="attention"),
                "mlp": over_rates(6, targets="mlp"),
                "all, rank 16": over_rates(16),
                "wise_ft": [WiSEFT(share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)],
                "orthogonal_lora": [
                    OrthogonalLoRA(RANK, strength=strength, learning_rate=RATE)
                    for strength in (0.005, 0.05, 0.5, 5.0, 50.0)
                ],
            },
            "laptop": {"all": over_rates(rates=(5e-4, 1.5e-3, 4.5e-3, 1.35e-2))},
        },
        profiles=("tiny", "laptop"),
        curves=("all",),
        changes={"curve_points": 2},
        selection_seeds=(100,),
    ),
    Experiment(
        "05",
        "untold",
        "dialogpt",
        PERSONA,
        tuple(LoRA(RANK, mode=mode, learning_rate=RATE) for mode in ("told", "chosen", "merged")),
        profiles=("tiny",),
        curves=(),
        changes={"curve_points": 2},
    ),
    # Below the rates of chapter 3, where its best on both tasks is the lowest: with the seeds that are reported, and
    # with those that choose.
    Experiment(
        "05", "slow", "dialogpt", PERSONA, (Naive(),), profiles=("tiny",), curves=(), changes={"learning_rate": 5e-5}
    ),
    Experiment(
        "05",
        "slow, other seeds",
        "dialogpt",
        PERSONA,
        (Naive(),),
        profiles=("tiny",),
        curves=(),
        changes={"learning_rate": 5e-5},
        reported_seeds=(100, 101),
    ),
    Experiment(
        "05",
        "domains",
        "gpt2",
        ("wikitext", "dialogue"),
        sweeps={"tiny": {"all": over_rates(rates=(1.6e-4, *RATES[:4]))}},
        profiles=("tiny",),
        curves=(),
        changes={"curve_points": 2},
    ),
    Experiment(
        "05",
        "two tasks",
        "roberta",
        TWO_TASKS,
        (Naive(),),
        {"tiny": {"told": over_rates(mode="told")}},
        profiles=("tiny",),
        curves=(),
        changes=SHORT,
        selection_seeds=(100,),
    ),
    # Naive and joint training with this plan are in the records of chapter 1.
    Experiment(
        "05",
        "task change",
        "roberta",
        TWO_TASKS,
        sweeps={
            "laptop": {
                "told": over_rates(mode="told", rates=(3e-4, 1e-3, 3e-3, 9e-3)),
                "shared": over_rates(rates=(3e-4, 1e-3, 3e-3, 9e-3)),
            }
        },
        profiles=("laptop",),
        curves=(),
        changes={"curve_points": 2},
    ),
    Experiment(
        "05",
        "four tasks",
        "roberta",
        FOUR_TASKS,
        # Two of them also at the rate that is carried over from two tasks.
        (Naive(), Joint(), LoRA(RANK, learning_rate=ENCODER_RATE), OrthogonalLoRA(RANK, learning_rate=ENCODER_RATE)),
        {
            "tiny": {
                "shared LoRA": over_rates(),
                "merged LoRA": over_rates(mode="merged"),
                "O-LoRA": [OrthogonalLoRA(RANK, learning_rate=rate) for rate in RATES],
                "OSF": [OrthogonalSubspace(learning_rate=rate) for rate in RATES],
                LINEAR: [OrthogonalSubspace(0.0, learning_rate=rate) for rate in WEIGHT_RATES],
            }
        },
        profiles=("tiny",),
        curves=(),
        changes=SHORT,
        selection_seeds=CHOOSING,
    ),
    Experiment(
        "05",
        "four tasks, other order",
        "roberta",
        FOUR_TASKS[::-1],
        # Naive training in this order is in the records of chapter 6.
        (
            LoRA(RANK, learning_rate=ENCODER_RATE),
            OrthogonalLoRA(RANK, learning_rate=ENCODER_RATE),
            LoRA(RANK, learning_rate=FOUR_RATES["shared LoRA"]),
            LoRA(RANK, mode="merged", learning_rate=FOUR_RATES["merged LoRA"]),
            OrthogonalLoRA(RANK, learning_rate=FOUR_RATES["O-LoRA"]),
            OrthogonalSubspace(learning_rate=FOUR_RATES["OSF"]),
            OrthogonalSubspace(0.0, learning_rate=FOUR_RATES[LINEAR]),
        ),
        profiles=("tiny",),
        changes=SHORT,
    ),
    # Full fine-tuning has its rate from the plan, so that each rate that is tried is an experiment.
    *(
        Experiment(
            "05",
            f"four tasks, all weights at {rate:g}",
            "roberta",
            FOUR_TASKS,
            (Naive(),),
            profiles=("tiny",),
            changes={**SHORT, "learning_rate": rate},
            reported_seeds=CHOOSING,
        )
        for rate in WEIGHT_RATES
    ),
    # And the one that it prefers, in both orders.
    *(
        Experiment(
            "05",
            name,
            "roberta",
            tasks,
            (Naive(),),
            profiles=("tiny",),
            changes={**SHORT, "learning_rate": FOUR_RATES["full fine-tuning"]},
        )
        for name, tasks in zip(ALL_WEIGHTS, (FOUR_TASKS, FOUR_TASKS[::-1]), strict=True)
    ),
)
