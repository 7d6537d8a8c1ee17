"""The tables of speed in the README and here, from the stored measurements: ``python -m tests.benchmarks.report``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cfhelpers.course.summary import write_between
from tests.benchmarks.measure import RESULTS

README = Path(__file__).parents[2] / "README.md"
DETAILS = Path(__file__).parent / "README.md"
SHORT = ("ours", "batch-of-one loop, trimmed", "transformers tutorial", "torch.func vmap", "Opacus")
GOALS = {"lora": "≤ 0.75 · ≤ 0.60", "distillation": "about 1.3", "kept": "≤ 1.15"}
"""What a step may cost, time and peak memory, in units of full fine-tuning's."""
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"


def update_readme(path: Path = README, details: Path = DETAILS) -> None:
    """Write the short table between the README's two markers, and the long ones between those of ``details``.

    Raises:
        ValueError: The markers are not there.
    """
    write_between(path, (BEGIN, END), short_table())
    write_between(details, (BEGIN, END), tables())


def short_table(folder: Path = RESULTS) -> str:
    """Return the times of a few methods on one thread, and our memory, in units of a forward and backward pass."""
    result = json.loads((folder / "fisher-cpu-1-threads.json").read_text())
    workloads = result["workloads"]
    described = [f"{name}: {workload['description']}" for name, workload in workloads.items()]
    lines = [f"On {_machine(result)}. " + ". ".join(described) + ".", ""]
    lines += [f"| time, × forward + backward | {' | '.join(workloads)} |", "|---" * (len(workloads) + 1) + "|"]
    for name in SHORT:
        cells = [f"{workload['methods'][name]['ratio']:.2f}" for workload in workloads.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    memory = [
        workload["methods"]["ours"]["peak_memory_bytes"]
        / workload["methods"]["forward + backward"]["peak_memory_bytes"]
        for workload in workloads.values()
    ]
    lines.append(f"| ours: peak memory, × forward + backward | {' | '.join(f'{each:.2f}' for each in memory)} |")
    return "\n".join([*lines, ""])


def tables(folder: Path = RESULTS) -> str:
    """Return one Markdown table for each stored file."""
    fisher = [_fisher(json.loads(path.read_text())) for path in sorted(folder.glob("fisher-*.json"))]
    penalty = [_penalty(json.loads(path.read_text())) for path in sorted(folder.glob("penalty-*.json"))]
    methods = [_methods(json.loads(path.read_text())) for path in sorted(folder.glob("methods-*.json"))]
    answers = [_answers(json.loads(path.read_text())) for path in sorted(folder.glob("answers-*.json"))]
    return "\n".join(fisher + penalty + methods + answers)


def _machine(result: dict[str, Any]) -> str:
    machine = result["after"]
    if machine["cuda_device"]:
        return str(machine["cuda_device"])
    load = max(result[when]["load_average"][0] for when in ("before", "after"))
    threads = f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''}"
    return f"{threads} of {machine['cpu']} with {machine['cores']} cores, load up to {load:.1f}"


def _fisher(result: dict[str, Any]) -> str:
    workloads = result["workloads"]
    names = dict.fromkeys(name for workload in workloads.values() for name in workload["methods"])
    lines = [f"Fisher diagonal on {_machine(result)}; time · peak memory, in units of forward + backward's:", ""]
    lines += [f"| method | {' | '.join(workloads)} | largest error |", "|---" * (len(workloads) + 2) + "|"]
    for name in names:
        found = [workload["methods"].get(name, {"error": ""}) for workload in workloads.values()]
        bases = [workload["methods"]["forward + backward"] for workload in workloads.values()]
        errors = [each["worst_relative_error"] for each in found if "worst_relative_error" in each]
        error = f"{max(errors):.0e}" if errors else ""
        cells = " | ".join(cell(*pair) for pair in zip(found, bases, strict=True))
        lines.append(f"| {name} | {cells} | {error} |")
    lines += [""] + [f"- {name}: {workload['description']}" for name, workload in workloads.items()]
    return "\n".join(lines + _first_calls(workloads) + _apart(result)) + "\n"


def _apart(result: dict[str, Any]) -> list[str]:
    """A line on each group of methods that was measured at another time than the rest."""
    names: dict[str, list[str]] = {}
    for method, when in result.get("apart", {}).items():
        names.setdefault(_machine(when), []).append(method)
    return [f"- measured apart, on {machine}: {', '.join(methods)}" for machine, methods in names.items()]


def _first_calls(workloads: dict[str, Any]) -> list[str]:
    """A line on the memory of our first call with a class of model, which checks itself on two examples."""
    field, found = "first_call_peak_memory_bytes", []
    for name, workload in workloads.items():
        ours, base = workload["methods"]["ours"], workload["methods"]["forward + backward"]
        if field in ours and base["peak_memory_bytes"]:
            found.append(f"{name} {ours[field] / base['peak_memory_bytes']:.2f}")
    return [f"- peak memory of our first call, with its self-check: {', '.join(found)}"] if found else []


def cell(values: dict[str, Any], base: dict[str, Any]) -> str:
    """Return the time and the peak memory of one method, in units of another's."""
    if "error" in values:
        return "fails" if values["error"] else "–"
    memory, unit = values["peak_memory_bytes"], base["peak_memory_bytes"]
    return f"{values['ratio']:.2f} · " + (f"{memory / unit:.2f}" if memory and unit else "?")


def _penalty(result: dict[str, Any]) -> str:
    workloads = result["workloads"]
    lines = [f"Penalty's gradient on {_machine(result)}, % of a training step:", ""]
    lines += [f"| method | {' | '.join(workloads)} |", "|---" * (len(workloads) + 1) + "|"]
    for name in list(next(iter(workloads.values()))["methods"])[1:]:
        cells = " | ".join(f"{100 * each['methods'][name]['ratio']:.1f}" for each in workloads.values())
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines) + "\n"


def _answers(result: dict[str, Any]) -> str:
    """A sentence on questions answered together, from ``tests.benchmarks.answers``."""
    parts = []
    for name, found in result["models"].items():
        times, same = 1 / found["together"]["cpu"]["ratio"], "the same texts" if found["same_texts"] else "other texts"
        parts.append(f"{name} ({found['mean_tokens']:.0f} tokens an answer) {times:.1f} times faster, {same}")
    start = f"{result['questions']} answers together, `{result['profile']}`, on {_machine(result)}"
    return f"{start}: {'; '.join(parts)}.\n"


def _methods(result: dict[str, Any]) -> str:
    workloads = result["workloads"]
    names = dict.fromkeys(name for workload in workloads.values() for name in workload["methods"])
    lines = [f"A step of each method on {_machine(result)}; time · peak memory, in units of full fine-tuning's:", ""]
    lines += [f"| method | {' | '.join(workloads)} | goal |", "|---" * (len(workloads) + 2) + "|"]
    for name in names:
        found = [(each["methods"].get(name, {"error": ""}), each["methods"]["naive"]) for each in workloads.values()]
        lines.append(f"| {name} | {' | '.join(cell(*pair) for pair in found)} | {GOALS.get(name, '')} |")
    lines.append("")
    for name, workload in workloads.items():
        lines.append(f"- {name}: {workload['description']}")
        lines += [f"- {name}: {each}" for each in _stored(workload)]
    return "\n".join(lines) + "\n"


def _stored(workload: dict[str, Any]) -> list[str]:
    """Lines on what has to be kept: for a task beside the model, and of a teacher."""
    methods, lines = workload["methods"], []
    shares = [
        f"{name} {values['stored_bytes'] / workload['model_bytes']:.3%}"
        for name, values in methods.items()
        if "stored_bytes" in values and "error_nats_per_target" not in values
    ]
    spreads = [
        f"{name} {values['ratio_low']:.2f}-{values['ratio_high']:.2f} ({values['pairs']} pairs)"
        for name, values in methods.items()
    ]
    lines.append(f"quartiles of the time: {', '.join(spreads)}")
    if shares:
        lines.append(f"stored for each task, of the model's bytes: {', '.join(shares)}")
    lora, naive = (methods.get(name, {}).get("peak_memory_bytes") for name in ("lora", "naive"))
    if lora and naive:
        lines.append(
            f"{1 - workload['model_bytes'] / lora:.0%} of LoRA's peak are not the model: nearly all activations, which "
            "grow with the batch and which an adapter does not save. Adam's moments, which it saves, are "
            f"{2 * workload['model_bytes'] / naive:.0%} of full fine-tuning's peak"
        )
    if "error_nats_per_target" in (kept := methods.get("kept", {})):
        lines.append(
            f"a teacher's kept outputs are {kept['stored_bytes_per_target']:.0f} bytes a target; "
            f"{kept['error_nats_per_target']:.1e} of {kept['divergence_nats_per_target']:.3f} nats are lost"
        )
    return lines


if __name__ == "__main__":
    update_readme()
