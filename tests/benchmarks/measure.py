"""Interleaved timing, peak memory, and where the numbers came from."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that the benchmarks share."""
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--output", type=Path, help="default: tests/benchmarks/results, and the README's table")


def result_path(name: str, chosen: argparse.Namespace) -> Path:
    """Where the results of one machine kind and number of threads are kept."""
    kind = chosen.device if chosen.device == "cuda" else f"cpu-{chosen.threads}-threads"
    return RESULTS / f"{name}-{kind}.json"


def interleaved(
    functions: Mapping[str, Callable[[], object]], rounds: int, device: str = "cpu"
) -> dict[str, dict[str, Any]]:
    """CPU and wall seconds of each function: one call of each per round, after one warm-up call of each.

    What fails is left out of the rounds, and its error is the result.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, function in functions.items():
        try:
            function()
            found[name] = {"cpu_seconds": [], "wall_seconds": []}
        except Exception as error:  # a peer that cannot do this workload is a result
            found[name] = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    for _ in range(rounds):
        for name, function in functions.items():
            if "error" not in found[name]:
                cpu, wall = time.process_time(), time.perf_counter()
                function()
                if device == "cuda":
                    torch.cuda.synchronize()
                found[name]["cpu_seconds"].append(time.process_time() - cpu)
                found[name]["wall_seconds"].append(time.perf_counter() - wall)
    return found


def summary(seconds: list[float], base: list[float]) -> dict[str, float]:
    """The median, the quartiles, and the median of each round's ratio to ``base``."""
    ratios = [one / other for one, other in zip(seconds, base, strict=True)]
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
    return {
        "median_seconds": statistics.median(seconds),
        "ratio": statistics.median(ratios),
        "ratio_low": quartiles[0],
        "ratio_high": quartiles[2],
    }


def peak_memory(function: Callable[[], object], device: str = "cpu") -> dict[str, int] | None:
    """Bytes by which the resident set (a GPU's allocations) rises at most, in a first call and in the next.

    A first call may check or compile something once. Call this in a fresh process: memory that an allocator kept from
    before would hide the rise; what it keeps from the first call is given back here. None where nothing tells.
    """
    if device == "cpu" and not _CLEAR.exists():
        return None
    rise = _rise_on_gpu if device == "cuda" else _rise
    return {"first_call_peak_memory_bytes": rise(function), "peak_memory_bytes": rise(function)}


def _rise(function: Callable[[], object]) -> int:
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    _CLEAR.write_text("5")
    before = _kilobytes("VmRSS")
    function()
    return 1024 * (_kilobytes("VmHWM") - before)


def _rise_on_gpu(function: Callable[[], object]) -> int:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    return torch.cuda.max_memory_allocated() - before


def _kilobytes(field: str) -> int:
    return next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith(field))


def provenance() -> dict[str, Any]:
    """The machine and the versions, with how busy the machine was."""
    import transformers

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cuda_device": device,
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Write JSON beside the target and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    beside.replace(path)
    print(f"written to {path}")
