"""Exercise 7.1: a uniform sample of a stream, judged by its statistics over many streams."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Numbers
from cfhelpers.methods.mixing import reservoir_sample

Answer = Callable[[Iterable[Any], int, random.Random], list[Any]]

_SETTINGS = ((12, 3), (9, 4))
"""Lengths of the streams and sizes of the reservoir."""
_STREAMS = 4000
_TOO_FAR = 5.5
"""Standard errors: of all that are looked at, a uniform sampler exceeds so many once in about a hundred thousand."""
_ALIKE = 4.0


class _Item:
    """Something whose end can be noticed."""

    def __init__(self, place: int) -> None:
        self.place = place


class _Stream:
    """Hands out items one by one, and notes how many of them are held at once."""

    def __init__(self, length: int) -> None:
        self.length, self.most = length, 0
        self.living: weakref.WeakSet[_Item] = weakref.WeakSet()

    def __iter__(self) -> Iterator[_Item]:
        for place in range(self.length):
            item = _Item(place)
            self.living.add(item)
            self.most = max(self.most, len(self.living))
            yield item


def _places(answer: Answer, stream: Iterable[Any], length: int, size: int, generator: random.Random) -> list[int]:
    """Return the places in the stream of what was kept."""
    kept = answer(stream, size, generator)
    if kept is None:
        raise CheckFailed("the sample is None: the answer has to end with a return statement.")
    if not isinstance(kept, list | tuple):
        raise CheckFailed(f"the sample must be a list, not {type(kept).__name__}.")
    if not all(isinstance(item, _Item) for item in kept):
        raise CheckFailed("the sample must hold items of the stream themselves, not their numbers.")
    places = [item.place for item in kept]
    if len(set(places)) < len(places):
        raise CheckFailed("an item was kept twice. Each item takes at most one place.")
    if len(places) != (right := min(size, length)):
        raise CheckFailed(f"of a stream of {length} items {len(places)} were kept where {right} is right.")
    return places


def _frequencies(answer: Answer, length: int, size: int) -> NDArray[np.float64]:
    """Return how often each pair of places was kept together, and on the diagonal each place."""
    generator, counts = random.Random(f"{length} {size}"), np.zeros((length, length))
    for _ in range(_STREAMS):
        places = _places(answer, iter([_Item(place) for place in range(length)]), length, size, generator)
        counts[np.ix_(places, places)] += 1
    return counts / _STREAMS


def _uniform(length: int, size: int) -> NDArray[np.float64]:
    both = size * (size - 1) / (length * (length - 1))
    return np.full((length, length), both) + np.eye(length) * (size / length - both)


def _distance(found: NDArray[np.float64], expected: NDArray[np.float64], count: float = 1) -> float:
    """Return the largest difference in standard errors; ``count`` is 2 where both were measured."""
    errors = np.sqrt(count * np.clip(expected * (1 - expected), 1 / _STREAMS, None) / _STREAMS)
    return float(np.max(np.abs(found - expected) / errors))


def _examine(answer: Answer) -> Numbers:
    for length, size in ((2, 5), (4, 4), (1, 1)):
        _places(answer, iter([_Item(place) for place in range(length)]), length, size, random.Random(0))
    found = {setting: _frequencies(answer, *setting) for setting in _SETTINGS}
    if any(_distance(found[setting], _uniform(*setting)) > _TOO_FAR for setting in _SETTINGS):
        raise CheckFailed(_diagnosis(found))
    one, other = (_places(answer, _Stream(200), 200, 5, random.Random(2)) for _ in range(2))
    if one != other:
        raise CheckFailed(
            "two generators with one seed kept different items. Draw from `generator`, never from the module `random` "
            "or another source: the sample could not be drawn again."
        )
    stream = _Stream(200)
    _places(answer, stream, 200, 5, random.Random(1))
    if stream.most > 20:
        raise CheckFailed(
            f"{stream.most} of 200 items were held in memory at once to keep 5. The stream may be longer than any "
            "memory: look at one item, keep it or let it go."
        )
    return {"items kept": np.array(float(_SETTINGS[0][1]))}


def _diagnosis(found: dict[tuple[int, int], NDArray[np.float64]]) -> str:
    """Name the known mistake whose statistics these are, under every setting; else say what can be seen."""
    for advice, imitation in _MISTAKES:
        if all(_distance(found[each], _frequencies(imitation, *each), 2) < _ALIKE for each in _SETTINGS):
            return advice
    setting = max(_SETTINGS, key=lambda each: _distance(found[each], _uniform(*each)))
    (length, size), each = setting, np.diag(found[setting])
    worst = int(np.argmax(np.abs(each - size / length)))
    if abs(each[worst] - size / length) > 0.03:
        return (
            f"over {_STREAMS} streams of {length} items, keeping {size}, item {worst + 1} was kept in "
            f"{each[worst]:.0%} of them where {size / length:.0%} is right."
        )
    return (
        "every item is kept about equally often, but not independently enough: some pairs are kept together too often "
        f"or never ({_STREAMS} streams of {length} items, {size} kept)."
    )


def _replacing(chance: Callable[[int, int], float], slot: Callable[[int, int, random.Random], int]) -> Answer:
    """Fill the reservoir, then let item n in with some probability and put it into some slot."""

    def answer(stream: Iterable[Any], size: int, generator: random.Random) -> list[Any]:
        kept: list[Any] = []
        for number, item in enumerate(stream, start=1):
            if len(kept) < size:
                kept.append(item)
            elif generator.random() < chance(number, size):
                kept[slot(number, size, generator)] = item
        return kept

    return answer


def _any_slot(number: int, size: int, generator: random.Random) -> int:
    return generator.randrange(size)


def _last(stream: Iterable[Any], size: int, generator: random.Random) -> list[Any]:
    return list(stream)[-size:]


def _shuffle_buffer(stream: Iterable[Any], size: int, generator: random.Random) -> list[Any]:
    """What ``shuffle(buffer_size=2 * size)`` and then taking ``size`` gives."""
    items, buffer, kept = iter(stream), [], []
    for item in items:
        buffer.append(item)
        if len(buffer) == 2 * size:
            break
    while buffer and len(kept) < size:
        kept.append(buffer.pop(generator.randrange(len(buffer))))
        buffer.extend(item for _, item in zip(range(1), items, strict=False))
    return kept


def _block(stream: Iterable[Any], size: int, generator: random.Random) -> list[Any]:
    items = list(stream)
    start = generator.randrange(len(items))
    return [items[(start + place) % len(items)] for place in range(min(size, len(items)))]


_MISTAKES: tuple[tuple[str, Answer], ...] = (
    (
        "the first items are kept and nothing ever replaces them: a stream that is sorted by anything then gives a "
        "biased sample. Let item n in with probability size / n.",
        _replacing(lambda n, k: 0.0, _any_slot),
    ),
    ("the last items are kept, whatever came before. Let item n in with probability size / n.", _last),
    (
        "every new item is let in, so that the early ones die out. Let item n in with probability size / n.",
        _replacing(lambda n, k: 1.0, _any_slot),
    ),
    (
        "an item is let in with probability ½, however many came before it, so that late ones are kept too often. Let "
        "item n in with probability size / n.",
        _replacing(lambda n, k: 0.5, _any_slot),
    ),
    (
        "item n is let in with probability 1 / n. That is right for a reservoir of one; for more it is size / n.",
        _replacing(lambda n, k: 1 / n, _any_slot),
    ),
    (
        "the count is one too small: item n is let in with probability size / (n − 1), so the first to come after the "
        "reservoir is full always is. Count from 1, and draw among n places.",
        _replacing(lambda n, k: k / (n - 1), _any_slot),
    ),
    (
        "the count is one too large: item n is let in with probability size / (n + 1). randint(0, n) draws among n + 1 "
        "numbers; randrange(n) draws among n.",
        _replacing(lambda n, k: k / (n + 1), _any_slot),
    ),
    (
        "a new item always takes the first place, so that the other places keep what came first. Draw the place.",
        _replacing(lambda n, k: k / n, lambda n, k, generator: 0),
    ),
    (
        "a new item always takes the last place, so that the other places keep what came first. Draw the place.",
        _replacing(lambda n, k: k / n, lambda n, k, generator: k - 1),
    ),
    (
        "the places are overwritten in turn, so that early places fare otherwise than late ones. Draw the place.",
        _replacing(lambda n, k: k / n, lambda n, k, generator: n % k),
    ),
    (
        "this is a shuffle buffer: what comes late in the stream never gets in. Go through the whole stream.",
        _shuffle_buffer,
    ),
    (
        "neighbours are kept together: a random place is drawn once and the items after it are taken. Draw for every "
        "item.",
        _block,
    ),
)


def _reference(stream: Iterable[Any], size: int, generator: random.Random) -> list[Any]:
    return reservoir_sample(stream, size, generator)


MISTAKES = _MISTAKES
reservoir = Exercise(
    number="7.1",
    reread="A sample of a stream",
    verified=f"over {_STREAMS} streams every item, and every pair of items, is kept equally often, in one pass",
    reference=_reference,
    library=reservoir_sample,
    examine=_examine,
)
