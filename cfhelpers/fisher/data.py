"""From what a caller has (a data set, a loader, an iterator) to batches on the model's device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfhelpers.fisher.processes import Processes

IGNORED = -100
Collate = Callable[[list[Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Batch:
    """One batch of B examples.

    Attributes:
        inputs: What the model may be called with, labels excluded.
        labels: ``[B, T]`` or ``[B]``, -100 where ignored.
        indices: The number of each example in the data, which keys its random draws.
    """

    inputs: dict[str, Any]
    labels: Tensor
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def rows(self, start: int, stop: int) -> Batch:
        """Examples ``start`` to ``stop``."""
        return self.select(list(range(*slice(start, stop).indices(len(self)))))

    def select(self, rows: list[int]) -> Batch:
        """The examples at ``rows``; everything without a batch dimension is passed on whole."""
        inputs = {
            name: value[rows] if isinstance(value, Tensor) and _has_rows(value, len(self)) else value
            for name, value in self.inputs.items()
        }
        return Batch(inputs, self.labels[rows], tuple(self.indices[row] for row in rows))


def prepare(
    batches: Any,
    *,
    device: torch.device,
    max_examples: int | None = None,
    seed: int = 0,
    collate: Collate | None = None,
    batch_size: int = 16,
    pad_token_id: int = 0,
    processes: Processes | None = None,
) -> Iterator[Batch]:
    """Yield the batches of a data set (sorted by length) or of an iterable (as they come) that this process owns.

    A data set is anything that can be indexed and whose items are single examples. With ``max_examples`` a seeded
    random subset of a data set is taken, and the first examples of an iterable.

    Raises:
        ValueError: There are no batches, one has no labels, or its labels are not shaped ``[B]`` or ``[B, T]``.
    """
    if max_examples is not None and max_examples < 1:
        raise ValueError(f"max_examples must be at least 1, got {max_examples}.")
    if isinstance(batches, Mapping):
        raise ValueError("batches is a single batch (a mapping); pass a list of batches: [batch].")
    processes = processes or Processes()
    if is_dataset(batches):
        order = _sorted_by_length(batches, max_examples, seed, processes)
        collate = collate or _padder(pad_token_id)
        groups = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
        for number, group in enumerate(groups):
            if processes.owns(number):
                yield _to_batch(collate([batches[i] for i in group]), group, device)
        return
    for number, (batch, indices) in enumerate(_numbered(batches, max_examples, processes)):
        if processes.owns(number):
            found = _to_batch(batch, indices, device)
            wanted = indices.stop if max_examples is None else max_examples
            yield found.rows(0, wanted - indices.start) if wanted < indices.stop else found


def is_dataset(batches: Any) -> bool:
    """Whether ``batches`` is indexable and holds single examples (1-D ``input_ids``) instead of batches."""
    indexable = hasattr(batches, "__getitem__") and hasattr(batches, "__len__") and not isinstance(batches, Mapping)
    if not indexable or len(batches) == 0:
        return False
    first = batches[0]
    return isinstance(first, Mapping) and "input_ids" in first and torch.as_tensor(first["input_ids"]).dim() == 1


def n_batches(batches: Any, batch_size: int, max_examples: int | None) -> int | None:
    """How many batches will come, where that is known without reading them (for the progress bar)."""
    if not hasattr(batches, "__len__"):
        return None
    if is_dataset(batches):
        examples = min(len(batches), max_examples or len(batches))
        return -(-examples // batch_size)
    return len(batches)


def _sorted_by_length(dataset: Any, max_examples: int | None, seed: int, processes: Processes) -> list[int]:
    """Indices with the longest example first, so that batches have little padding and memory peaks at once."""
    indices = list(range(len(dataset)))
    if max_examples is not None and max_examples < len(indices):
        generator = torch.Generator().manual_seed(seed)
        indices = torch.randperm(len(indices), generator=generator)[:max_examples].tolist()
    lengths = {}
    for index in indices:
        ids = dataset[index]["input_ids"]
        lengths[index] = len(ids)
        processes.note(ids)
    return sorted(indices, key=lambda index: (-lengths[index], index))


def _padder(pad_token_id: int) -> Collate:
    """A collator that pads on the right: labels with -100, masks with 0, ids with the model's pad token."""

    def collate(examples: list[Any]) -> dict[str, Tensor]:
        fill = {"labels": IGNORED, "input_ids": pad_token_id}
        batch = {}
        for name in examples[0]:
            values = [example[name] for example in examples]
            if isinstance(values[0], str):
                continue
            tensors = [torch.as_tensor(value) for value in values]
            column = "labels" if name in ("label", "label_ids") else name
            if tensors[0].dim() == 0:
                batch[column] = torch.stack(tensors)
            else:
                batch[column] = torch.nn.utils.rnn.pad_sequence(tensors, True, padding_value=fill.get(column, 0))
        if "attention_mask" not in batch:
            lengths = torch.tensor([len(example["input_ids"]) for example in examples])
            batch["attention_mask"] = (torch.arange(int(lengths.max()))[None] < lengths[:, None]).long()
        return batch

    return collate


def _numbered(
    batches: Iterable[Any], max_examples: int | None, processes: Processes
) -> Iterator[tuple[Mapping[str, Any], range]]:
    """Number the examples in the order in which they come and stop after ``max_examples``."""
    seen = 0
    empty = True
    for batch in batches:
        empty = False
        size = _n_rows(batch)
        for name in ("input_ids", "labels"):
            if batch.get(name) is not None:
                processes.note(batch[name])
        yield batch, range(seen, seen + size)
        seen += size
        if max_examples is not None and seen >= max_examples:
            return
    if empty:
        raise ValueError("batches is empty: there is no example to estimate from (a one-shot iterator already used?).")


def _n_rows(batch: Any) -> int:
    if not isinstance(batch, Mapping):
        raise ValueError(
            f"each batch must be a mapping with input_ids and labels, as the Hugging Face collators make; "
            f"got {type(batch).__name__}."
        )
    if batch.get("labels") is None:
        raise ValueError(
            f"a batch has no labels (its keys: {', '.join(map(str, batch))}). Causal models: labels are the input_ids "
            "with -100 where nothing is to be predicted (padding, the question)."
        )
    return len(batch["labels"])


def _to_batch(batch: Mapping[str, Any], indices: Sequence[int], device: torch.device) -> Batch:
    rows = _n_rows(batch)
    tensors = {name: torch.as_tensor(value) if _is_numeric(value) else value for name, value in batch.items()}
    labels = tensors.pop("labels").to(device)
    if labels.dim() not in (1, 2) or rows == 0 or labels.is_floating_point():
        raise ValueError(
            f"labels must be integers of shape [B] (classes) or [B, T] (tokens), got {tuple(labels.shape)} "
            f"of {labels.dtype}."
        )
    inputs = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in tensors.items()}
    return Batch(inputs, labels, tuple(indices))


def _is_numeric(value: Any) -> bool:
    return isinstance(value, Tensor) or (
        (hasattr(value, "__array__") or isinstance(value, (list, tuple))) and _fits(value)
    )


def _fits(value: Any) -> bool:
    try:
        torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


def _has_rows(value: Tensor, rows: int) -> bool:
    return value.dim() > 0 and value.shape[0] == rows
