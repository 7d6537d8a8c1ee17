"""From what a caller has (a data set, a loader, an iterator) to batches on the model's device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cfhelpers.fisher.layout import IGNORED, arranged, unpacked
from cfhelpers.fisher.processes import Processes

Collate = Callable[[list[Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Batch:
    """One batch of B examples.

    Attributes:
        inputs: What the model may be called with, labels excluded.
        labels: ``[B, T]`` or ``[B]``, -100 where ignored.
        indices: The number of each example in the data, which keys its random draws.
        ours: Whether the batch was put together here, from single examples: how they are padded is then not the
            caller's choice.
    """

    inputs: dict[str, Any]
    labels: Tensor
    indices: tuple[int, ...]
    ours: bool = False

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
        return replace(self, inputs=inputs, labels=self.labels[rows], indices=tuple(self.indices[row] for row in rows))


def prepare(
    batches: Any,
    *,
    device: torch.device,
    max_examples: int | None = None,
    seed: int = 0,
    collate: Collate | None = None,
    batch_size: int = 16,
    pad_token_id: int = 0,
    encoder_decoder: bool = False,
    processes: Processes | None = None,
) -> Iterator[Batch]:
    """Yield the batches of a data set (sorted by length) or of an iterable (as they come) that this process owns.

    A data set is anything that can be indexed and whose items are single examples. With ``max_examples`` a seeded
    random subset of a data set is taken, and the first examples of an iterable. Single examples that come from an
    iterable (a stream, a generator) are put together as they come. Packed rows are taken apart, padding on the left is
    moved to the right, and a target under the padding is ignored.

    Raises:
        ValueError: There are no batches, one has no labels, its labels are not shaped ``[B]`` or ``[B, T]``, or its
            rows hold more than one example each.
    """
    if max_examples is not None and max_examples < 1:
        raise ValueError(f"max_examples must be at least 1, got {max_examples}.")
    if isinstance(batches, Mapping):
        raise ValueError("batches is a single batch (a mapping); pass a list of batches: [batch].")
    processes = processes or Processes()
    collate = collate or padder(pad_token_id)
    if is_dataset(batches):
        order = _sorted_by_length(batches, max_examples, seed, processes)
        groups = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
        for number, group in enumerate(groups):
            if processes.owns(number):
                rows = unpacked(_as_tensors(collate([batches[i] for i in group])))
                if _n_rows(rows) != len(group):
                    raise ValueError(
                        f"{len(group)} examples of the data set hold {_n_rows(rows)} sequences: its rows are packed. "
                        "Give a data set with one sequence in each row (packing=False)."
                    )
                yield _to_batch(rows, group, device, encoder_decoder, ours=True)
        return
    found = together(batches, collate, batch_size)
    for number, (batch, indices, ours) in enumerate(_numbered(found, max_examples, processes)):
        if processes.owns(number):
            whole = _to_batch(batch, indices, device, encoder_decoder, ours=ours)
            wanted = indices.stop if max_examples is None else max_examples
            yield whole.rows(0, wanted - indices.start) if wanted < indices.stop else whole


def together(batches: Iterable[Any], collate: Collate, batch_size: int) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Yield batches as they come, with single examples put together, and whether they were put together here.

    Args:
        batches: Of batches; of single examples; or of what a batching stream yields: lists of examples, or columns of
            lists of unequal lengths.
        collate: Makes a batch of a list of examples.
        batch_size: Single examples in a batch.

    Raises:
        ValueError: Something is neither a batch nor an example, or rows hold several sequences.
    """
    waiting: list[Any] = []
    for each in batches:
        if _is_example(each):
            waiting.append(each)
            if len(waiting) == batch_size:
                yield unpacked(_as_tensors(collate(waiting))), True
                waiting = []
            continue
        rows = _uneven_rows(each)
        yield (unpacked(_as_tensors(collate(rows))), True) if rows else (unpacked(_as_tensors(each)), False)
    if waiting:
        yield unpacked(_as_tensors(collate(waiting))), True


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


def padder(pad_token_id: int) -> Collate:
    """A collator that pads on the right: labels with -100, masks with 0, ids with the model's pad token."""

    def collate(examples: list[Any]) -> dict[str, Tensor]:
        fill = {"labels": IGNORED, "input_ids": pad_token_id}
        batch = {}
        for name in examples[0]:
            values = [example[name] for example in examples]
            if not all(_is_numeric(value) or isinstance(value, int | float) for value in values):
                continue  # text, or what a row lacks
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
    batches: Iterable[tuple[Mapping[str, Any], bool]], max_examples: int | None, processes: Processes
) -> Iterator[tuple[Mapping[str, Any], range, bool]]:
    """Number the examples in the order in which they come and stop after ``max_examples``."""
    seen = 0
    empty = True
    for batch, ours in batches:
        empty = False
        size = _n_rows(batch)
        for name in ("input_ids", "labels"):
            if batch.get(name) is not None:
                processes.note(batch[name])
        yield batch, range(seen, seen + size), ours
        seen += size
        if max_examples is not None and seen >= max_examples:
            return
    if empty:
        raise ValueError("batches is empty: there is no example to estimate from (a one-shot iterator already used?).")


def _is_example(each: Any) -> bool:
    """Whether this is one example, whose ``input_ids`` have one dimension, and no batch."""
    ids = each.get("input_ids") if isinstance(each, Mapping) else None
    return ids is not None and _is_numeric(ids) and torch.as_tensor(ids).dim() == 1


def _uneven_rows(each: Any) -> list[Any]:
    """The examples in a list of them, or in columns whose lists differ in length; none in a batch of tensors."""
    if isinstance(each, list | tuple) and each and all(_is_example(row) for row in each):
        return list(each)
    if not isinstance(each, Mapping):
        return []
    ids = each.get("input_ids")
    if not isinstance(ids, list | tuple) or not ids or _is_numeric(ids):
        return []
    return [{name: column[row] for name, column in each.items()} for row in range(len(ids))]


def _as_tensors(batch: Any) -> Mapping[str, Any]:
    if not isinstance(batch, Mapping):
        raise ValueError(
            f"each batch must be a mapping with input_ids and labels, as the Hugging Face collators make; "
            f"got {type(batch).__name__}."
        )
    return {name: torch.as_tensor(value) if _is_numeric(value) else value for name, value in batch.items()}


def _n_rows(batch: Mapping[str, Any]) -> int:
    if batch.get("labels") is None:
        raise ValueError(
            f"a batch has no labels (its keys: {', '.join(map(str, batch))}). Causal models: labels are the input_ids "
            "with -100 where nothing is to be predicted (padding, the question)."
        )
    return len(batch["labels"])


def _to_batch(
    batch: Mapping[str, Any], indices: Sequence[int], device: torch.device, encoder_decoder: bool, *, ours: bool
) -> Batch:
    rows = _n_rows(batch)
    labels = batch["labels"]
    if not isinstance(labels, Tensor) or labels.dim() not in (1, 2) or rows == 0 or labels.is_floating_point():
        shape = f"{tuple(labels.shape)} of {labels.dtype}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(f"labels must be integers of shape [B] (classes) or [B, T] (tokens), got {shape}.")
    tensors = arranged(dict(batch), encoder_decoder=encoder_decoder)
    labels = tensors.pop("labels").to(device)
    inputs = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in tensors.items()}
    return Batch(inputs, labels, tuple(indices), ours)


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
