"""What is trained, evaluated and estimated in one process and in two: ``torchrun … -m tests.training.two_processes``.

Every process writes what it found to ``FOLDER/RANK.pt``; ``test_two_processes`` starts it and compares.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cfhelpers.fisher import fisher_diagonal
from cfhelpers.methods import AGEM, EWC, L2SP, DERpp, Method, Naive, SynapticIntelligence
from cfhelpers.tasks.encoding import Collator
from cfhelpers.training.trainer import ContinualTrainer
from tests import toys
from tests.training.test_trainer import Pull, arguments, causal, classified, sequence_classifier, uneven_dialogues

Found = dict[str, Any]


def padded() -> list[dict[str, Tensor]]:
    """The dialogues in four batches."""
    rows = list(uneven_dialogues())
    return [Collator(0)(rows[start : start + 4]) for start in range(0, 16, 4)]  # pyright: ignore[reportArgumentType]  # rows are mappings


def evaluated(model: nn.Module, data: Any, folder: Path, processes: int) -> Found:
    """The evaluation of a trainer that has not trained yet."""
    trainer = ContinualTrainer(
        method=Naive(),
        model=model,
        args=arguments(folder, per_device_eval_batch_size=8 // processes),
        eval_dataset=data,
        data_collator=Collator(0),
    )
    return {"loss": trainer.evaluate()["eval_loss"]}


def trained(model: nn.Module, data: Any, method: Method, folder: Path, processes: int, **changes: Any) -> Found:
    """Two steps of 16 examples in micro-batches of 4, with what was logged."""
    trainer = ContinualTrainer(
        method=method,
        model=model,
        args=arguments(
            folder,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=4 // processes,
            max_steps=2,
            max_grad_norm=1.0,
            **changes,
        ),
        train_dataset=data,
        data_collator=Collator(0),
    )
    trainer.train()
    names = ("loss", "grad_norm", "penalty", "penalty_to_loss", "penalty_to_task_gradient")
    logged = [{name: log[name] for name in names if name in log} for log in trainer.state.log_history if "loss" in log]
    return {"weights": {name: each.detach().clone() for name, each in model.state_dict().items()}, "log": logged}


def anchored(method: Callable[[nn.Module], Method], folder: Path, processes: int) -> Found:
    """A model that has been moved away from what is protected."""
    model = causal()
    made = method(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    return trained(model, uneven_dialogues(), made, folder, processes)


def dropped(method: Callable[[nn.Module], Method], folder: Path, processes: int) -> Found:
    """With dropout: equal to nothing but the other process."""
    model = toys.causal_model()
    return trained(model, uneven_dialogues(), method(model), folder, processes)


CASES: dict[str, Callable[[Path, int], Found]] = {
    "evaluate a classifier": lambda folder, n: evaluated(sequence_classifier(), classified(), folder, n),
    "evaluate a language model": lambda folder, n: evaluated(causal(), uneven_dialogues(), folder, n),
    "train a classifier": lambda folder, n: trained(sequence_classifier(), classified(), Pull(), folder, n),
    "train a language model": lambda folder, n: trained(causal(), uneven_dialogues(), Pull(), folder, n),
    "no average of tokens": lambda folder, n: trained(
        sequence_classifier(), classified(), Pull(), folder, n, average_tokens_across_devices=False
    ),
    "EWC": lambda folder, n: anchored(lambda model: EWC.from_data(model, padded(), strength=100.0), folder, n),
    "L2SP": lambda folder, n: anchored(lambda model: L2SP.from_data(model, None, strength=1.0), folder, n),
    "synaptic intelligence": lambda folder, n: anchored(lambda model: SynapticIntelligence(1.0), folder, n),
    "A-GEM": lambda folder, n: anchored(lambda model: AGEM.from_data(model, padded(), 8, batch_size=4), folder, n),
    "DER++": lambda folder, n: anchored(lambda model: DERpp.from_data(model, padded(), 8, batch_size=4), folder, n),
    "Fisher of GPT-2": lambda folder, n: {"weights": dict(fisher_diagonal(causal(), padded(), progress=False))},
    "Fisher of a data set": lambda folder, n: {
        "weights": dict(fisher_diagonal(causal(), uneven_dialogues(), batch_size=4, progress=False))
    },
}
TOGETHER: dict[str, Callable[[Path, int], Found]] = {
    "A-GEM": lambda folder, n: dropped(lambda model: AGEM.from_data(model, padded(), 8, batch_size=4), folder, n),
    "DER++": lambda folder, n: dropped(lambda model: DERpp.from_data(model, padded(), 8, batch_size=4), folder, n),
}


def main(folder: Path) -> None:
    """Find everything out in this process of the two."""
    torch.set_num_threads(1)
    rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    found = {
        "same as one": {name: case(folder / "runs", processes) for name, case in CASES.items()},
        "same in both": {name: case(folder / "runs", processes) for name, case in TOGETHER.items()},
    }
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
