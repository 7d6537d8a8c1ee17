"""From contributions to sums of squares, one parameter at a time and without a gradient per example in memory.

Everything that is squared here can be had as an absolute value instead (``power`` 1 in place of 2).
"""

from __future__ import annotations

import bisect
import importlib.util

import torch
from torch import Tensor

from cfhelpers.fisher.contributions import Contribution, Outer, Rows, Vector
from cfhelpers.fisher.objective import Power
from cfhelpers.fisher.spans import Spans

TILE_ENTRIES = 3 << 16  # 0.75 MB of float32: one tile of the product and one of the sum stay in a core's cache
SHARED_TILE_ENTRIES = 1 << 21  # for several threads, which lose more by meeting after small tiles than by cache misses
HAS_TRITON = importlib.util.find_spec("triton") is not None
BATCHED_ENTRIES = 1 << 26  # on an accelerator the tile holds all examples, to launch few kernels


def raised_(gradients: Tensor, power: Power) -> Tensor:
    """``|gradients| ** power``, in place."""
    return gradients.square_() if power == 2 else gradients.abs_()


def add_raised_outer_(
    total: Tensor, outer: Outer, spans: Spans | None, power: Power, kept: KeptRows | None = None
) -> None:
    """``total += ∑_b |left[b].T @ right[b]| ** power``, in tiles of rows.

    Args:
        total: ``[m, n]``.
        outer: The factors.
        spans: The first and the last-plus-one token of each example outside of which ``left`` or ``right`` is zero.
        power: 2 for squares, 1 for absolute values.
        kept: Rows to be handed out instead of added (a tied embedding adds to them later).
    """
    left, right = outer.left, outer.right
    if total.is_cuda and (kept is not None or left.shape[1] > 1):
        left = left if kept is None else kept.take_from_(left, right)
        _add_on_gpu_(total, left, right, power)
        return
    left, right = left.to(total.dtype), right.to(total.dtype)
    spans = spans or [(0, left.shape[1])] * len(left)
    if kept is None and all(stop - start <= 1 for start, stop in spans):
        # One token's gradient is a product of two numbers, so each can be raised by itself.
        rows = list(range(len(left))), [start for start, _ in spans]
        total.addmm_(raised_(left[rows], power).T, raised_(right[rows], power))
        return
    _add_in_tiles_(total, left.flatten(0, 1).T, right.flatten(0, 1), _pieces(spans, left.shape[1]), power, kept)


def _pieces(spans: Spans, width: int) -> list[int]:
    """Lengths of 2 B + 1 pieces of ``B * T`` rows, left out and taken in turn: the odd ones are an example each."""
    lengths, end = [], 0
    for example, (start, stop) in enumerate(spans):
        lengths += [example * width + start - end, stop - start]
        end = example * width + stop
    return [*lengths, len(spans) * width - end]


def _add_in_tiles_(
    total: Tensor, left: Tensor, right: Tensor, pieces: list[int], power: Power, kept: KeptRows | None
) -> None:
    """``left`` is ``[m, B * T]`` and ``right`` is ``[B * T, n]``."""
    entries = TILE_ENTRIES if torch.get_num_threads() == 1 else SHARED_TILE_ENTRIES
    height = max(1, min(len(total), entries // total.shape[1]))
    buffer = torch.empty(height, total.shape[1], dtype=total.dtype, device=total.device)
    rights = right.split_with_sizes(pieces)[1::2]
    for number, (part, left_here) in enumerate(zip(total.split(height), left.split(height), strict=True)):
        tile = buffer[: len(part)]
        # One call for all examples: a view for each of them would take longer than a small product.
        lefts = left_here.split_with_sizes(pieces, 1)[1::2]
        for example, (one, other) in enumerate(zip(lefts, rights, strict=True)):
            torch.mm(one, other, out=tile)
            if kept is not None:
                kept.take_(tile, number * height, example)
            if power == 2:
                part.addcmul_(tile, tile)  # reads and writes the tile once less than squaring it first
            else:
                part.add_(tile.abs_())


def _add_on_gpu_(total: Tensor, left: Tensor, right: Tensor, power: Power) -> None:
    if HAS_TRITON and total.dtype == torch.float32:
        from cfhelpers.fisher import fused

        fused.add_raised_outer_(total, left, right, power)
    else:
        _add_in_batches_(total, left.to(total.dtype), right.to(total.dtype), power)


def _add_in_batches_(total: Tensor, left: Tensor, right: Tensor, power: Power) -> None:
    height = max(1, min(len(total), BATCHED_ENTRIES // (len(left) * total.shape[1])))
    for first in range(0, len(total), height):
        products = torch.bmm(left[:, :, first : first + height].mT, right)
        total[first : first + height] += raised_(products, power).sum(0)


class KeptRows:
    """The rows of each example's dense gradient that its embedding part adds to: (h + e)² is not h² + e².

    Args:
        ids: ``[B, T]``, negative where nothing is added.
        total: ``[V, D]``, the sum that the squares will go to.
    """

    def __init__(self, ids: Tensor, total: Tensor) -> None:
        self.total = total
        rows = total.shape[0]
        keys = ids + rows * torch.arange(len(ids), device=ids.device)[:, None]
        keys = torch.where(ids < 0, -1, keys)
        self.pairs, self.place = keys.unique(return_inverse=True)
        self.skipped = int((self.pairs < 0).sum())
        self.values = torch.zeros(len(self.pairs), total.shape[1], dtype=total.dtype, device=total.device)
        self._dense_taken = False
        bounds = torch.arange(len(ids) + 1, device=ids.device) * rows
        self._bounds = torch.searchsorted(self.pairs, bounds).tolist()
        self._rows = (self.pairs % rows).tolist()

    def take_(self, tile: Tensor, first: int, example: int) -> None:
        """Move this example's rows out of a tile that begins at row ``first``, leaving zeros."""
        low, high = self._bounds[example], self._bounds[example + 1]
        low = bisect.bisect_left(self._rows, first, low, high)
        high = bisect.bisect_left(self._rows, first + len(tile), low, high)
        if low < high:
            here = torch.tensor(self._rows[low:high], device=tile.device) - first
            self.values[low:high] = tile[here]
            tile.index_fill_(0, here, 0.0)

    def take_from_(self, left: Tensor, right: Tensor) -> Tensor:
        """Form these rows of all examples at once from ``[B, T, m]`` and ``[B, T, n]``; ``left`` without them."""
        examples = len(left)
        pairs = self.pairs[self.skipped :]
        owner, row = pairs // self.total.shape[0], pairs % self.total.shape[0]
        counts = torch.bincount(owner, minlength=examples)
        place = torch.arange(len(pairs), device=pairs.device) - (counts.cumsum(0) - counts)[owner]
        chosen = torch.zeros(examples, int(counts.max()), dtype=torch.long, device=pairs.device)
        chosen[owner, place] = row
        columns = left.gather(2, chosen[:, None, :].expand(-1, left.shape[1], -1)).to(self.values.dtype)
        self.values[self.skipped :] = torch.bmm(columns.mT, right.to(self.values.dtype))[owner, place]
        left = left.clone()
        left[owner, :, row] = 0.0
        return left

    def add(self, values: Tensor) -> None:
        """Add the embedding's part ``[B, T, D]``."""
        self.values.index_add_(0, self.place.flatten(), values.flatten(0, 1).to(self.values.dtype))

    def finish(self, power: Power) -> None:
        """Raise what has come together to ``power`` and add it to the sum."""
        used = slice(self.skipped, None)
        self.total.index_add_(0, self.pairs[used] % self.total.shape[0], raised_(self.values[used], power))


class ParameterSum:
    """Collects what one backward pass contributes to one parameter, and adds its squares once it is complete.

    A module may be used several times in one forward pass and a weight may be shared by several modules: all of an
    example's contributions are summed before squaring.

    Attributes:
        total: The sum of squares (of absolute values) over all examples so far.
        power: 2 for squares, 1 for absolute values.
    """

    def __init__(self, total: Tensor) -> None:
        self.total = total
        self.forget(2)

    def forget(self, power: Power) -> None:
        """Start a new forward pass."""
        self.power: Power = power
        self.spoiled = False
        self.expected_outer = self.expected_other = 0
        self.ids: list[Tensor] = []
        self.restart()

    def restart(self) -> None:
        """Start a new backward pass through the same graph."""
        self.outers: list[Outer] = []
        self.received_outer = 0
        self.others: list[Rows | Vector] = []
        self.kept: KeptRows | None = None

    def receive(self, contribution: Contribution, spans: Spans | None) -> None:
        """Take one contribution; squares are formed as soon as nothing is missing."""
        if self.spoiled:
            return
        if isinstance(contribution, Outer):
            self.outers.append(contribution)
            self.received_outer += 1
            if self.received_outer == self.expected_outer:
                self._square_outers(spans)
        else:
            self.others.append(contribution)
        if self.received_outer == self.expected_outer and len(self.others) == self.expected_other:
            self.finish()

    def spoil(self) -> None:
        """Add nothing of this forward pass: one of its uses cannot be told by example."""
        self.spoiled = True
        self.restart()

    def finish(self) -> None:
        """Square what has come, although some uses never got a gradient."""
        if self.outers:
            self._square_outers(None)
        rows = [other for other in self.others if isinstance(other, Rows)]
        vectors = [other.values for other in self.others if isinstance(other, Vector)]
        if rows and self.kept is None:
            self.kept = KeptRows(torch.cat([part.ids for part in rows], 1), self.total)
            self.kept.add(torch.cat([part.values for part in rows], 1))
        elif rows and self.kept is not None:
            self._add_to_kept(rows)
        if self.kept is not None:
            self.kept.finish(self.power)
        if vectors:
            together = (vectors[0].clone() if len(vectors) == 1 else torch.stack(vectors).sum(0)).to(self.total.dtype)
            self.total.add_(raised_(together, self.power).sum(0).view_as(self.total))
        self.restart()

    def _square_outers(self, spans: Spans | None) -> None:
        left = [outer.left for outer in self.outers]
        right = [outer.right for outer in self.outers]
        outer = self.outers[0] if len(left) == 1 else Outer(torch.cat(left, 1), torch.cat(right, 1))
        if self.ids:
            self.kept = KeptRows(torch.cat(self.ids, 1), self.total)
        add_raised_outer_(self.total, outer, spans if len(left) == 1 else None, self.power, self.kept)
        self.outers = []

    def _add_to_kept(self, rows: list[Rows]) -> None:
        """Gradients come in another order than the embeddings were called in: match them by their ids."""
        assert self.kept is not None
        widths = [ids.shape[1] for ids in self.ids]
        places = list(self.kept.place.split(widths, 1))
        for part in rows:
            index = next(i for i, ids in enumerate(self.ids) if ids is part.ids)
            self.kept.values.index_add_(
                0, places[index].flatten(), part.values.flatten(0, 1).to(self.kept.values.dtype)
            )
