"""Measure one training step of each method: ``python -m tests.benchmarks.methods smollm2 --methods naive lora kept``.

Time relative to full fine-tuning ("naive") in pairs in one process, and peak memory in a process of its own: LoRA (r 8
on all linear layers), a soft prompt of ten vectors, distillation with the teacher in the loop, and with its outputs for
a fixed data set kept; self-distillation fine-tuning, in which the model writes at every step. Memory is all that
training holds: the model, gradients, Adam's moments, activations, a teacher. For adapter and prompt the bytes to store
per task are stated; for the kept outputs their size, and how far the
divergence over the kept outcomes is from the true one.

Each row is written as soon as it is measured, beside those that are there already from this machine: an interrupted
command loses one row, and ``--methods`` measures some anew.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cfhelpers.methods import LwF, SelfDistillationFineTuning
from cfhelpers.methods.divergence import mean_divergence, predictions
from cfhelpers.methods.kept_outputs import KeptOutputs
from cfhelpers.models.prompted import with_prompts
from cfhelpers.models.soft_prompt import SoftPrompt
from tests.benchmarks import measure, report
from tests.benchmarks.workloads import WORKLOADS, Workload, known_name

NAIVE, TOP_K, RANK, PROMPT_LENGTH, ANSWER = "naive", 32, 8, 10, 16
METHODS = (NAIVE, "lora", "prompt", "distillation", "kept", "sdft")


def main(arguments: list[str] | None = None) -> None:
    """Measure the chosen methods on the chosen workloads and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", type=known_name, default=["smollm2"], help="a, b, smollm2 or tiny")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--memory-of", choices=METHODS, help=argparse.SUPPRESS)
    measure.add_arguments(parser)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if chosen.memory_of:  # this process measures one method's memory and nothing else
        print(json.dumps({"peak_memory_bytes": memory_of(chosen.memory_of, chosen.workloads[0], chosen.device)}))
        return
    target = chosen.output or measure.result_path("methods", chosen)
    result = _begun(target)
    for name in chosen.workloads:
        workload = WORKLOADS[name]().to(chosen.device)
        found = result["workloads"].setdefault(name, {"methods": {}})
        found |= {"description": workload.description, "model_bytes": bytes_of(workload.model)}
        for method, values in measured(name, workload, chosen):
            found["methods"][method] = values
            measure.write(target, {**result, "after": measure.provenance()})
            print(f"{name}, {method}: {values}")
    if chosen.output is None:
        report.update_readme()


def _begun(target: Path) -> dict[str, Any]:
    """What an earlier command measured on this machine, with these versions; each row is measured by itself."""
    result = {"before": measure.provenance(), "workloads": {}}
    earlier = json.loads(target.read_text()) if target.exists() else result
    same = all(earlier["before"][key] == result["before"][key] for key in ("torch", "transformers", "cpu", "threads"))
    return earlier if same else result


def measured(name: str, workload: Workload, chosen: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Time each method's step beside a naive one, and measure its memory in a process of its own."""
    naive, kind = STEPS[NAIVE](workload), "wall" if chosen.device == "cuda" else "cpu"
    naive()
    for method in chosen.methods:
        own = _own_model(workload) if method in BESIDE else workload
        step = naive if method == NAIVE else STEPS[method](own)
        times = measure.one_paired(step, naive, chosen.seconds, chosen.device)
        values = {**times[kind], **_memory(name, method, chosen)}
        if method in BESIDE:
            values["stored_bytes"] = bytes_of(BESIDE[method](_own_model(workload)), trained_only=True)
        if method == "kept":
            values |= kept_outputs(workload)
        yield method, values


def _own_model(workload: Workload) -> Workload:
    return replace(workload, model=copy.deepcopy(workload.model))


def bytes_of(model: nn.Module, *, trained_only: bool = False) -> int:
    """The size of a model's parameters, those that are shared counted once."""
    parameters = [each for each in model.parameters() if each.requires_grad or not trained_only]
    return sum(each.numel() * each.element_size() for each in parameters)


def memory_of(method: str, workload: str, device: str) -> int | None:
    """Peak memory of training with a method, the model included; for a fresh process."""
    STEPS[method](WORKLOADS["tiny"]().to(device))()  # what is imported at a first step is nobody's memory
    loaded = WORKLOADS[workload]().to(device)
    model_bytes = bytes_of(loaded.model)
    held = measure.training_memory(lambda: STEPS[method](loaded), device)
    return None if held is None else model_bytes + held


def _memory(workload: str, method: str, chosen: argparse.Namespace) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.benchmarks.methods", workload, "--memory-of", method]
    command += ["--threads", str(chosen.threads), "--device", chosen.device]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def trained(model: nn.Module, workload: Workload, method: LwF | None = None) -> Callable[[], None]:
    """Return one optimizer step on the workload's first batch, with a method's extra loss."""
    model, batch = model.train(), workload.batches[0]
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-6, fused=True)
    n_targets = (batch["labels"][:, 1:] != -100).sum()

    def step() -> None:
        optimizer.zero_grad()
        output = model(**batch)
        extra = None if method is None else method.extra_loss(model, batch, output, n_targets)
        (output.loss if extra is None else output.loss + extra).backward()
        optimizer.step()

    return step


def with_adapter(workload: Workload) -> nn.Module:
    """LoRA on all linear layers, put into the workload's model."""
    from peft import LoraConfig, get_peft_model

    transposed = workload.model.config.model_type == "gpt2"  # whose layers are peft's "fan in, fan out"
    settings = LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM", fan_in_fan_out=transposed)
    return get_peft_model(workload.model, settings)


def with_prompt(workload: Workload) -> nn.Module:
    """A soft prompt in front of the workload's model, which is frozen."""
    model = workload.model.requires_grad_(False)
    return with_prompts(model, [SoftPrompt(model.get_input_embeddings().weight[:PROMPT_LENGTH])])


def distilled(workload: Workload, top_k: int | None) -> Callable[[], None]:
    """A step of distillation from the model as it is."""
    method = LwF(0.3, temperature=1.0, top_k=top_k).protect(workload.model, workload.batches)
    return trained(workload.model, workload, method)


def self_taught(workload: Workload) -> Callable[[], None]:
    """A step of self-distillation fine-tuning, the first half of each row for a question and the rest its answer."""
    half = workload.batches[0]["attention_mask"].sum(dim=1, keepdim=True) // 2
    is_answer = torch.arange(workload.batches[0]["labels"].shape[1], device=half.device) >= half
    batch = {**workload.batches[0], "labels": workload.batches[0]["labels"].where(is_answer, -100)}
    method = SelfDistillationFineTuning(length=ANSWER).protect(workload.model)
    return trained(workload.model, replace(workload, batches=[batch]), method)


BESIDE = {"lora": with_adapter, "prompt": with_prompt}
STEPS: dict[str, Callable[[Workload], Callable[[], None]]] = {
    NAIVE: lambda workload: trained(workload.model, workload),
    "lora": lambda workload: trained(with_adapter(workload), workload),
    "prompt": lambda workload: trained(with_prompt(workload), workload),
    "distillation": lambda workload: distilled(workload, None),
    "kept": lambda workload: distilled(workload, TOP_K),
    "sdft": self_taught,
}


def kept_outputs(workload: Workload) -> dict[str, float]:
    """Size of the outputs kept per target, and the error of the divergence from a model that has moved a little."""
    model, batches = workload.model, workload.batches
    moved, generator = copy.deepcopy(model), torch.Generator(next(model.parameters()).device).manual_seed(0)
    with torch.no_grad():
        for parameter in moved.parameters():
            noise = torch.randn(parameter.shape, generator=generator, device=parameter.device)
            parameter.add_(0.05 * parameter.std(correction=0) * noise)
    kept = KeptOutputs.of(model, batches, top_k=TOP_K, temperature=1.0, heads=None)
    with torch.no_grad():
        found = [kept.divergence(predictions(moved.eval(), b, None, None), b, "forward")[0] for b in batches]
    exact = mean_divergence(moved, model, batches)
    n_targets = sum(len(part) for part in found)
    return {
        "stored_bytes": kept.stored_bytes(),
        "stored_bytes_per_target": kept.stored_bytes() / n_targets,
        "divergence_nats_per_target": exact,
        "error_nats_per_target": exact - float(torch.cat(found).mean()),
    }


if __name__ == "__main__":
    main()
