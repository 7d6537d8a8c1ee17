"""Measure the penalty's gradient: ``python -m tests.benchmarks.penalty a b``.

What adding it costs, relative to one training step (forward, backward, AdamW): in place as the library does it, and by
differentiating the penalty's value, as tutorials do.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from typing import Any

import torch

from cfhelpers.methods.penalty import QuadraticPenalty
from tests.benchmarks import measure, report
from tests.benchmarks.workloads import WORKLOADS, Workload, known_name

STEP = "training step"


def main(arguments: list[str] | None = None) -> None:
    """Measure the chosen workloads and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", type=known_name, default=["a", "b"], help="a, b, c, smollm2 or tiny")
    measure.add_arguments(parser)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    before = measure.provenance()
    found = {name: measure_workload(WORKLOADS[name]().to(chosen.device), chosen) for name in chosen.workloads}
    result = {"before": before, "after": measure.provenance(), "workloads": found}
    measure.write(chosen.output or measure.result_path("penalty", chosen), result)
    if chosen.output is None:
        report.update_readme()


def measure_workload(workload: Workload, chosen: argparse.Namespace) -> dict[str, Any]:
    """Time the step and both ways of adding the penalty; prints a table."""
    times = measure.paired(functions(workload), STEP, chosen.seconds, chosen.device)
    methods = {name: values["wall" if chosen.device == "cuda" else "cpu"] for name, values in times.items()}
    print(f"\n{workload.name}: {workload.description}")
    for name, values in methods.items():
        low, high = values["ratio_low"], values["ratio_high"]
        print(f"{name:32} {100 * values['ratio']:8.2f} % of a step ({100 * low:.2f}-{100 * high:.2f})")
    return {"description": workload.description, "methods": methods}


def functions(workload: Workload) -> dict[str, Callable[[], object]]:
    """A training step without the penalty, and each way of adding the penalty's gradient alone."""
    model, batch = workload.model, workload.batches[0]
    importance = {name: torch.rand_like(parameter) for name, parameter in model.named_parameters()}
    penalty = QuadraticPenalty(importance, model, 1e-6)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()

    return {
        STEP: step,
        "in place (ours)": lambda: penalty.add_gradient_(model),
        "through autograd": lambda: penalty.value(model).backward(),
    }


if __name__ == "__main__":
    main()
