"""The result of an estimate: one importance per parameter entry, with how it was obtained."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from cfhelpers.fisher.matching import check_match, shown
from cfhelpers.fisher.naming import named_parameters
from cfhelpers.fisher.storage import STORAGES, Storage, Stored

FORMAT = "cfhelpers-importance-1"


class Importance(Mapping[str, Tensor]):
    """A mapping from parameter name to a float32 tensor of the parameter's shape.

    Names are those of the unwrapped model; a tied weight appears once; a frozen parameter has no entry. However
    :meth:`stored`, what is looked up is float32, on the device where it is kept. Kept in float32 it is the kept tensor
    itself, otherwise a new one each time.

    Args:
        tensors: Parameter name to importance, non-negative. Kept as float32 (what :meth:`as_stored` gives: as it is);
            not copied.
        n_examples: How many examples the mean was taken over (the weight in :meth:`merge`).
        variant: Where the labels came from (``"exact"``, ``"sample"``, ``"empirical"``, ``"batched"``), or the name
            of another importance.
        unit: ``"sequence"`` or ``"token"``: what one squared gradient belongs to.
        n_targets: How many target tokens (or class labels) those examples had; multiply by ``n_examples / n_targets``
            for a mean per token.
        unused: Trainable parameters that no example reached. Their importance is really zero: the likelihood does
            not depend on them.

    Attributes:
        device: Where it is to be kept, whatever device the model is on; None: wherever it is used.

    Raises:
        ValueError: There are no tensors, a value is negative or not finite, or ``n_examples`` is not positive.
    """

    device: torch.device | None = None

    def __init__(
        self,
        tensors: Mapping[str, Tensor | Stored],
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
        self._tensors = {
            name: each if isinstance(each, Stored) else Stored(each.detach().to(torch.float32))
            for name, each in tensors.items()
        }
        bad = [name for name, each in self._tensors.items() if not _is_importance(each.values)]
        if bad:
            raise ValueError(f"importance must be finite and not negative; it is not for {shown(bad)}.")
        self.n_examples = int(n_examples)
        self.variant = variant
        self.unit = unit
        self.n_targets = int(n_targets)
        self.unused = tuple(unused)

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name].expand()

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    @property
    def dtype(self) -> torch.dtype:
        """The precision in which it is kept."""
        return next(iter(self._tensors.values())).values.dtype

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        entries = sum(each.values.numel() for each in self._tensors.values())
        return (
            f"Importance({len(self)} tensors, {entries:,} entries, variant={self.variant!r}, unit={self.unit!r}, "
            f"n_examples={self.n_examples}, dtype={str(self.dtype).removeprefix('torch.')!r})"
        )

    def stored(self, *, dtype: Storage | None = None, device: str | torch.device | None = None) -> Self:
        """The same importance in fewer bytes, or in another place.

        Args:
            dtype: ``"float32"``: exact. ``"bfloat16"``: half the bytes, rounded by at most 1 part in 256 (0.14 % in
                the median), for whatever range of values. ``"float16"``: half the bytes, scaled by a power of two for
                each tensor, rounded by at most 1 part in 2048 (0.017 %) down to 2⁻²⁸ (4e-9) of the tensor's maximum,
                coarser below and zero under 2⁻³⁹ (2e-12) of it. None: as it is.
            device: Where to keep it, also while the model is elsewhere: with ``"cpu"`` a penalty takes no memory of
                an accelerator but sends its tensors there in each step. None: as it is. It is not part of a file.

        Raises:
            ValueError: ``dtype`` is none of these.
        """
        if dtype is not None and dtype not in STORAGES:
            raise ValueError(f"unknown dtype {dtype!r}; choose one of {', '.join(STORAGES)}.")
        place = None if device is None else torch.device(device)
        found = copy.copy(self)
        found._tensors = {name: each.to(dtype=dtype, device=place) for name, each in self._tensors.items()}
        found.device = place or self.device
        return found

    def shapes(self) -> dict[str, torch.Size]:
        """Name to shape, without expanding what is stored."""
        return {name: each.values.shape for name, each in self._tensors.items()}

    def as_stored(self) -> dict[str, Stored]:
        """The tensors as they are kept, for those who work through them piece by piece."""
        return dict(self._tensors)

    def merge(self, other: Importance) -> Importance:
        """The estimate over both sets of examples of one task: the mean weighted by ``n_examples``.

        It comes in float32, however the two are stored; what their storage has rounded away does not come back.

        Raises:
            ValueError: The two differ in names, shapes, variant or unit.
        """
        self._check_same_kind(other)
        self._check_shapes(other)
        _require_no_difference("merge", "the other importance", set(self) - set(other))
        _require_no_difference("merge", "this importance", set(other) - set(self))
        total = self.n_examples + other.n_examples
        mine, theirs = self.n_examples / total, other.n_examples / total
        tensors = {name: mine * value + theirs * other[name].to(value.device) for name, value in self.items()}
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

        ``other``, the later task, may have parameters that did not exist before, such as a new head. The sum comes in
        float32, however the two are stored. Storing it in half precision after every task rounds it every time, so that
        a task of less than 1/512 (bfloat16) of the sum goes lost in it.

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
            "exponents": json.dumps({name: each.exponent for name, each in self._tensors.items() if each.exponent}),
        }
        tensors = {name: each.values.cpu().contiguous() for name, each in self._tensors.items()}
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")  # with the mode that the user's umask gives
        try:
            save_file(tensors, beside, metadata)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: nn.Module | None = None) -> Self:
        """Read a file written by :meth:`save`, in the precision in which it was stored, to the CPU.

        Args:
            path: The file.
            model: The model that it is meant for, if it is to be refused before its tensors are read should it belong
                to another one.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is not one of ours, or the model lacks one of its names or has it in another shape.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise FileNotFoundError(f"no importance file at {path}.")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise ValueError(f"{path} is not an importance file: its header says {metadata.get('format')!r}.")
                names = list(file.keys())
                if model is not None:
                    shapes = {name: torch.Size(file.get_slice(name).get_shape()) for name in names}
                    check_match("model", shapes, {name: p.shape for name, p in named_parameters(model).items()})
                tensors = {name: file.get_tensor(name) for name in names}
        except SafetensorError as error:
            raise ValueError(f"{path} is not a safetensors file: {error}.") from error
        exponents = json.loads(metadata["exponents"])
        return cls(
            {name: Stored(tensor, exponents.get(name, 0)) for name, tensor in tensors.items()},
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
        mine, theirs = self.shapes(), other.shapes()
        different = [name for name in mine if name in theirs and mine[name] != theirs[name]]
        if different:
            name = different[0]
            raise ValueError(
                f"shapes differ for {shown(different)}: {tuple(mine[name])} and {tuple(theirs[name])}; "
                "was an embedding resized in between?"
            )


def _is_importance(tensor: Tensor) -> bool:
    if tensor.numel() == 0:
        return True
    low, high = torch.aminmax(tensor)
    return bool(low >= 0) and bool(torch.isfinite(high))


def _require_no_difference(action: str, where: str, missing: set[str]) -> None:
    if missing:
        raise ValueError(f"cannot {action}: {where} has no entry for {shown(sorted(missing))}.")
