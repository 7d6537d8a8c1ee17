"""One estimate shared by the processes that ``torchrun`` or ``accelerate launch`` started.

Every process is given the same data, works on the batches that it owns, and in the end all add up what they found. That
is the only time at which they talk, so an error in one is heard of by the others when they are done with their part.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass
class Found:
    """What was found in some of the batches.

    Attributes:
        sums: Parameter name to the sum of squared gradients.
        examples: How many examples had a target.
        targets: How many targets they had.
        seen: How many examples there were.
        reached: Names of the parameters that some log-likelihood depends on.
    """

    sums: dict[str, Tensor]
    examples: int
    targets: int
    seen: int
    reached: set[str]


class Processes:
    """The processes of the default group, or this one alone.

    Attributes:
        rank: This process's number.
        count: How many there are.
    """

    def __init__(self) -> None:
        started = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if started else 0
        self.count = dist.get_world_size() if started else 1
        self._checksum = 0

    def owns(self, batch: int) -> bool:
        """Whether the batch of this number is for this process.

        Dealt to and fro (0, 1, 2, 2, 1, 0, …): with the longest batch first, nobody gets the longer one every time.
        """
        turn, place = divmod(batch, self.count)
        return self.rank == (self.count - 1 - place if turn % 2 else place)

    def note(self, numbers: Any) -> None:
        """Take notice of some of the data, so that processes with different data can be told."""
        if self.count > 1:
            content = torch.as_tensor(numbers).detach().cpu().long().numpy().tobytes()
            self._checksum = zlib.crc32(content, self._checksum)

    def combine(self, work: Callable[[], Found], settings: tuple[Any, ...]) -> Found:
        """Do this process's part of the work and return what all found together.

        Args:
            work: Finds what is in the batches that this process owns, without waiting for another process.
            settings: What must be the same everywhere, besides the model's parameters and the data.

        Raises:
            ValueError: The processes were called with different models, data or settings.
            Exception: What ``work`` raised here, or word of what it raised in another process.
        """
        if self.count == 1:
            return work()
        found = error = None
        try:
            found = work()
        except Exception as caught:
            error = caught
        reports: list[Any] = [None] * self.count
        dist.all_gather_object(reports, self._report(found, error, settings))
        if found is None:
            assert error is not None
            raise error
        _raise_for_others(reports)
        for total in found.sums.values():
            _add_up_(total)
        numbers = {name: sum(report[name] for report in reports) for name in ("examples", "targets", "seen")}
        return Found(found.sums, reached=set().union(*(report["reached"] for report in reports)), **numbers)

    def _report(self, found: Found | None, error: Exception | None, settings: tuple[Any, ...]) -> dict[str, Any]:
        if found is None:
            return {"error": f"{type(error).__name__}: {error}", "is_value_error": isinstance(error, ValueError)}
        model = [(name, tuple(total.shape), total.dtype) for name, total in found.sums.items()]
        return {
            "error": None,
            "same": {"settings": settings, "model": model, "data": self._checksum},
            "examples": found.examples,
            "targets": found.targets,
            "seen": found.seen,
            "reached": found.reached,
        }


def _raise_for_others(reports: list[dict[str, Any]]) -> None:
    for rank, report in enumerate(reports):
        if report["error"] is not None:
            kind = ValueError if report["is_value_error"] else RuntimeError
            raise kind(f"process {rank} of {len(reports)} failed: {report['error']}")
    for what, first in reports[0]["same"].items():
        if any(report["same"][what] != first for report in reports):
            raise ValueError(
                f"the processes were not given the same {what}. Each must call with the same model, the same settings "
                "and all of the data in the same order: a plain loader or data set, without a DistributedSampler and "
                "not prepared by accelerate, because the batches are dealt to the processes here."
            )


def _add_up_(total: Tensor) -> None:
    """Replace a tensor by its sum over all processes."""
    whole = total.contiguous()
    dist.all_reduce(whole)
    if whole is not total:
        total.copy_(whole)
