"""The result of an estimate: one importance per parameter entry, with how it was obtained."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

FORMAT = "cfhelpers-importance-1"


class Importance(Mapping[str, Tensor]):
    """A mapping from parameter name to a float32 tensor of the parameter's shape.

    Names are those of the unwrapped model; a tied weight appears once; a frozen parameter has no entry.

    Args:
        tensors: Parameter name to importance, non-negative. Kept as float32; not copied if they already are.
        n_examples: How many examples the mean was taken over (the weight in :meth:`merge`).
        variant: Where the labels came from (``"exact"``, ``"sample"``, ``"empirical"``, ``"batched"``), or the name
            of another importance.
        unit: ``"sequence"`` or ``"token"``: what one squared gradient belongs to.
        n_targets: How many target tokens (or class labels) those examples had; multiply by ``n_examples / n_targets``
            for a mean per token.
        unused: Trainable parameters that no example reached. Their importance is really zero: the likelihood does
            not depend on them.

    Raises:
        ValueError: There are no tensors, a value is negative or not finite, or ``n_examples`` is not positive.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        *,
        n_examples: int,
        variant: str,
        unit: str = "sequence",
        n_targets: int = 0,
        unused: tuple[str, ...] = (),
    ) -> None:
        if not tensors:
            raise ValueError("an importance needs at least one parameter; got an empty mapping.")
        if n_examples < 1:
            raise ValueError(f"n_examples must be at least 1, got {n_examples}.")
        self._tensors = {name: tensor.detach().to(torch.float32) for name, tensor in tensors.items()}
        bad = [name for name, tensor in self._tensors.items() if not _is_importance(tensor)]
        if bad:
            raise ValueError(f"importance must be finite and not negative; it is not for {_names(bad)}.")
        self.n_examples = int(n_examples)
        self.variant = variant
        self.unit = unit
        self.n_targets = int(n_targets)
        self.unused = tuple(unused)

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        entries = sum(tensor.numel() for tensor in self.values())
        return (
            f"Importance({len(self)} tensors, {entries:,} entries, variant={self.variant!r}, unit={self.unit!r}, "
            f"n_examples={self.n_examples})"
        )

    def merge(self, other: Importance) -> Importance:
        """The estimate over both sets of examples of one task: the mean weighted by ``n_examples``.

        Raises:
            ValueError: The two differ in names, shapes, variant or unit.
        """
        self._check_same_kind(other)
        self._check_shapes(other)
        _require_no_difference("merge", "the other importance", set(self) - set(other))
        _require_no_difference("merge", "this importance", set(other) - set(self))
        total = self.n_examples + other.n_examples
        mine, theirs = self.n_examples / total, other.n_examples / total
        tensors = {name: mine * self[name] + theirs * other[name].to(self[name].device) for name in self}
        return Importance(
            tensors,
            n_examples=total,
            variant=self.variant,
            unit=self.unit,
            n_targets=self.n_targets + other.n_targets,
            unused=tuple(name for name in self.unused if name in other.unused),
        )

    def accumulate(self, other: Importance, decay: float = 1.0) -> Importance:
        """The importance of all tasks so far: ``decay * self + other`` (online EWC; Schwarz et al., 2018).

        ``other``, the later task, may have parameters that did not exist before, such as a new head.

        Args:
            other: The importance for the later task.
            decay: γ in [0, 1]; 1 sums the tasks (Kirkpatrick et al., 2017, as corrected by Huszár, 2018).

        Raises:
            ValueError: ``other`` lacks a name that this importance has, differs in a shape or in kind, or ``decay``
                is outside [0, 1].
        """
        if not (math.isfinite(decay) and 0.0 <= decay <= 1.0):
            raise ValueError(f"decay must be between 0 and 1, got {decay}.")
        self._check_same_kind(other)
        self._check_shapes(other)
        _require_no_difference("accumulate", "the later importance", set(self) - set(other))
        tensors = {
            name: torch.add(tensor, self[name].to(tensor.device), alpha=decay) if name in self else tensor.clone()
            for name, tensor in other.items()
        }
        return Importance(
            tensors,
            n_examples=self.n_examples + other.n_examples,
            variant=self.variant,
            unit=self.unit,
            n_targets=self.n_targets + other.n_targets,
            unused=tuple(name for name in other.unused if name not in self or name in self.unused),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file with this estimate's metadata; an interrupted write leaves no partial file."""
        from safetensors.torch import save_file

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {
            "format": FORMAT,
            "n_examples": str(self.n_examples),
            "n_targets": str(self.n_targets),
            "variant": self.variant,
            "unit": self.unit,
            "unused": json.dumps(self.unused),
        }
        handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        try:
            save_file({name: tensor.cpu().contiguous() for name, tensor in self.items()}, beside, metadata)
            os.replace(beside, path)
        finally:
            Path(beside).unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Importance:
        """Read a file written by :meth:`save`.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is not one of ours.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise FileNotFoundError(f"no importance file at {path}.")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
        except SafetensorError as error:
            raise ValueError(f"{path} is not a safetensors file: {error}.") from error
        if metadata.get("format") != FORMAT:
            raise ValueError(f"{path} is not an importance file: its header says {metadata.get('format')!r}.")
        return cls(
            tensors,
            n_examples=int(metadata["n_examples"]),
            variant=metadata["variant"],
            unit=metadata["unit"],
            n_targets=int(metadata["n_targets"]),
            unused=tuple(json.loads(metadata["unused"])),
        )

    def _check_same_kind(self, other: Importance) -> None:
        if (self.variant, self.unit) != (other.variant, other.unit):
            raise ValueError(
                f"cannot combine a {self.variant}/{self.unit} importance with a {other.variant}/{other.unit} one: "
                "their scales differ."
            )

    def _check_shapes(self, other: Importance) -> None:
        different = [name for name in self if name in other and self[name].shape != other[name].shape]
        if different:
            name = different[0]
            raise ValueError(
                f"shapes differ for {_names(different)}: {tuple(self[name].shape)} and {tuple(other[name].shape)}; "
                "was an embedding resized in between?"
            )


def _is_importance(tensor: Tensor) -> bool:
    if tensor.numel() == 0:
        return True
    low, high = torch.aminmax(tensor)
    return bool(low >= 0) and bool(torch.isfinite(high))


def _require_no_difference(action: str, where: str, missing: set[str]) -> None:
    if missing:
        raise ValueError(f"cannot {action}: {where} has no entry for {_names(sorted(missing))}.")


def _names(names: list[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(repr(name) for name in names[:shown]) + more
