"""Paired timing, peak memory, and where the numbers came from."""

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
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
FEWEST_PAIRS = 3
PEERS = ("opacus", "backpack-for-pytorch", "kronfluence")
"""The packages that are compared with, as they are called where they come from."""
_Times = dict[str, float]
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that the benchmarks share."""
    parser.add_argument("--seconds", type=float, default=60, help="for each method on each workload")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--output", type=Path, help="default: tests/benchmarks/results, and the README's table")


def result_path(name: str, chosen: argparse.Namespace) -> Path:
    """Where the results of one machine kind and number of threads are kept."""
    kind = chosen.device if chosen.device == "cuda" else f"cpu-{chosen.threads}-threads"
    return RESULTS / f"{name}-{kind}.json"


def paired(
    functions: Mapping[str, Callable[[], object]], base: str, seconds: float, device: str = "cpu"
) -> dict[str, dict[str, Any]]:
    """The time of each function relative to that of ``functions[base]``, called just before it each time.

    On a machine that others use too, speed drifts within seconds; a pair of calls suffers alike. Each function is
    called once to warm up, then in pairs for so many seconds, three times at least, so that quick ones are measured
    more often. What fails has its error for a result.

    Returns:
        For each function and for CPU (``"cpu"``) and wall time (``"wall"``): median seconds, and the median and the
        quartiles of the ratios.
    """
    functions[base]()
    return {name: one_paired(function, functions[base], seconds, device) for name, function in functions.items()}


def one_paired(
    function: Callable[[], object], base: Callable[[], object], seconds: float, device: str = "cpu"
) -> dict[str, Any]:
    """One entry of what :func:`paired` returns; ``base`` is warm already."""
    try:
        function()
    except Exception as error:  # a peer that cannot do this workload is a result
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    pairs: list[tuple[_Times, _Times]] = []
    start = time.perf_counter()
    while len(pairs) < FEWEST_PAIRS or time.perf_counter() - start < seconds:
        pairs.append((_timed(base, device), _timed(function, device)))
    return {kind: _summary([(one[kind], other[kind]) for one, other in pairs]) for kind in ("cpu", "wall")}


def _timed(function: Callable[[], object], device: str) -> _Times:
    cpu, wall = time.process_time(), time.perf_counter()
    function()
    if device == "cuda":
        torch.cuda.synchronize()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def _summary(pairs: list[tuple[float, float]]) -> dict[str, float]:
    ratios = [other / one for one, other in pairs]
    low, _, high = statistics.quantiles(ratios, n=4)
    return {
        "median_seconds": statistics.median(other for _, other in pairs),
        "ratio": statistics.median(ratios),
        "ratio_low": low,
        "ratio_high": high,
        "pairs": len(pairs),
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


def training_memory(make: Callable[[], Callable[[], object]], device: str = "cpu") -> int | None:
    """Bytes that training holds at most in its second step, beyond what there was before the step was made.

    With gradients, the optimizer's moments and whatever the method keeps, which stay from the first step to the second.
    Call this in a fresh process, as :func:`peak_memory`. None where nothing tells.
    """
    if device == "cpu" and not _CLEAR.exists():
        return None
    level, rise = (torch.cuda.memory_allocated, _rise_on_gpu) if device == "cuda" else (_resident, _rise)
    before = level()
    step = make()
    step()
    return level() - before + rise(step)


def _rise(function: Callable[[], object]) -> int:
    before = _resident()
    function()
    return 1024 * _kilobytes("VmHWM") - before


def _resident() -> int:
    """The resident set without what the allocator could give back; the highest is counted anew from here."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    _CLEAR.write_text("5")
    return 1024 * _kilobytes("VmRSS")


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
        "peers": {name: found for name in PEERS if (found := _version(name))},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cuda_device": device,
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


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
