"""Answers to exercise 7.1: right ones in four styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "7.1", "reservoir"

RIGHT = [
    '''
def reservoir(stream, size, generator):
    """Item n is kept with probability size / n, in place of any of those kept."""
    kept = []
    for n, item in enumerate(stream, start=1):
        if n <= size:
            kept.append(item)
        elif generator.random() < size / n:
            kept[generator.randrange(size)] = item
    return kept
''',
    """
def reservoir(stream, size, generator):
    kept, seen = [None] * size, 0
    for item in stream:
        place = seen if seen < size else generator.randint(0, seen)
        if place < size:
            kept[place] = item
        seen += 1
    return kept[:seen]
""",
    """
import heapq


def reservoir(stream, size, generator):
    best = []
    for n, item in enumerate(stream):
        key = (generator.random(), n)
        if len(best) < size:
            heapq.heappush(best, (key, item))
        elif key > best[0][0]:
            heapq.heapreplace(best, (key, item))
    return [item for _, item in best]
""",
    """
from itertools import islice


def reservoir(stream, size, generator):
    waiting = iter(stream)
    kept = list(islice(waiting, size))
    threshold = generator.random() ** (1 / size)
    while True:
        skipped = int(math.log(generator.random()) / math.log(1 - threshold))
        following = list(islice(waiting, skipped, skipped + 1))
        if not following:
            return kept
        kept[generator.choice(range(size))] = following[0]
        threshold *= generator.random() ** (1 / size)
""",
]

WRONG = [
    ("start=1", "start=0"),
    ("n <= size", "n < size"),
    ("elif generator.random() < size / n", "else"),
    ("elif generator.random() < size / n", "elif False"),
    ("size / n", "1 / n"),
    ("size / n", "size / (n + 1)"),
    ("size / n", "size / (n + size)"),
    ("size / n", "0.5"),
    ("size / n", "1 / size"),
    ("size / n", "n / size"),
    ("size / n", "1 - size / n"),
    ("size / n", "(size / n) ** 2"),
    ("generator.randrange(size)", "0"),
    ("generator.randrange(size)", "-1"),
    ("generator.randrange(size)", "n % size"),
    ("generator.randrange(size)", "generator.randrange(size - 1)"),
    ("kept[generator.randrange(size)] = item", "kept.append(item)"),
    ("kept[generator.randrange(size)] = item", "kept = kept[1:] + [item]"),
    ("kept[generator.randrange(size)] = item", "kept[min(range(size), key=lambda i: generator.random() * i)] = item"),
    ("kept[generator.randrange(size)] = item", "kept[generator.randrange(n) % size] = item"),
    ("n <= size", "len(kept) < size and generator.random() < 0.5"),
    ("kept.append(item)", "kept.append(n)"),
    ("    kept = []\n", "    generator.seed(0)\n    kept = []\n"),
    ("    kept = []\n", "    stream = list(stream)\n    kept = []\n"),
    ("    kept = []\n", "    return generator.sample(list(stream), size)\n"),
    ("    kept = []\n", "    return list(stream)[:size]\n"),
    ("    kept = []\n", "    return list(stream)[-size:]\n"),
    ("    kept = []\n", "    return generator.choices(list(stream), k=size)\n"),
    ("    return kept", "    return set(kept)"),
]
