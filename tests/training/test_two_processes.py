"""The trainer, the methods and the Fisher under ``torchrun`` with two processes: what one process finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.two_processes import CASES, TOGETHER


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process found: everything in one start, because a start takes seconds."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "tests.training.two_processes", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_find_what_one_finds(case: str, found: list[dict[str, Any]], tmp_path: Path) -> None:
    truth = CASES[case](tmp_path, 1)
    for both in found:
        mine = both["same as one"][case]
        assert mine.get("loss") == (None if "loss" not in truth else pytest.approx(truth["loss"], rel=1e-5))
        for name, weight in truth.get("weights", {}).items():
            assert float((mine["weights"][name] - weight).norm()) <= 1e-5 * float(weight.norm()) + 1e-9, name
        for logged, expected in zip(mine.get("log", []), truth.get("log", []), strict=True):
            assert logged == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("case", TOGETHER)
def test_processes_do_not_drift_apart_under_dropout(case: str, found: list[dict[str, Any]]) -> None:
    first, second = (both["same in both"][case]["weights"] for both in found)
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name
