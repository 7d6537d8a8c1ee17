"""Texts for exercise 1.3, whose features can be placed at will, and the classifiers that make them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cfhelpers.course.checks.toys import toy_classifier
from cfhelpers.models.classifier import MultiTaskClassifier

Batches = list[dict[str, Tensor]]
Task = tuple[MultiTaskClassifier, Batches, Batches]
"""A classifier, its training and its test batches."""

# A text is two tokens, the first one of two, the second one of six. A batch says how many texts of each of the twelve
# kinds have label 0, and how many have label 1. A straight line separates the labels of the training texts with room to
# spare, so that every linear classifier fitted to the end finds the same answers; each batch alone leans another way,
# and so do the test texts, so that whatever is left out or mixed up gives its own accuracy.
_Counts = tuple[str, str]
CASES: dict[str, tuple[int, float, tuple[_Counts, ...], tuple[_Counts, ...]]] = {
    "55 and 37 texts": (
        24,
        2.0,
        (
            ("000100 000400", "300000 200000"),
            ("000001 000100", "101000 000000"),
            ("000000 000103", "202000 001000"),
            ("000201 000001", "101000 101000"),
            ("000040 000090", "070000 040000"),
        ),
        (
            ("173000 010000", "000000 210000"),
            ("042000 000000", "000000 511000"),
            ("030000 100000", "000000 401000"),
        ),
    ),
    "48 and 40 texts": (
        33,
        3.0,
        (
            ("000070 000040", "040000 070000"),
            ("000603 000201", "302000 603000"),
        ),
        (
            ("109002 001000", "000000 110000"),
            ("013202 001000", "000001 103000"),
            ("002002 000000", "000000 331000"),
        ),
    ),
}
_PLACES = ((1.0, 1.5), (1.25, -1.625), (1.5, 2.25), (-1.0, -1.5), (-1.25, 1.625), (-1.5, -2.25))
"""Where the six second tokens stand; the labels of training texts follow the first coordinate."""
_PADDING = (-0.74, 0.0)
"""What padding would say, if it were read."""
_FIRST = 7
"""The first of the two tokens that texts begin with."""


_TURNED = torch.tensor([[2.0, 2.0, -1.0], [-1.0, 2.0, 2.0], [2.0, -1.0, 2.0]]) / 4
"""Turns the places, so that no single feature says the label; as all of them, exact in binary: what lies on one line
does so to the last bit, and no least squares can take hold of a rounding error."""


def _world(
    places: Sequence[tuple[float, float]], width: int, scale: float, turned: Tensor = _TURNED
) -> MultiTaskClassifier:
    """Return a classifier whose token states are the places; the first token has a direction of its own."""
    places_of_tokens = torch.zeros(_FIRST + 2, 3)
    places_of_tokens[: len(places) + 1, :2] = torch.tensor([_PADDING, *places])
    places_of_tokens[_FIRST, 2], places_of_tokens[_FIRST + 1, 2] = 1.0, -1.0
    places_of_tokens[1:] *= 2  # a text's features are the mean of its two tokens
    turned_places = scale * places_of_tokens @ turned
    # Further features say the same once more, half as loud: none is constant, as none is in a trained encoder.
    copies = [turned_places, *[-turned_places / 2] * (width // 3 - 1)]
    embedding = torch.cat(copies, dim=1)
    return toy_classifier(embedding, {"previous": 2})


def _batch(texts: Sequence[tuple[int, int, int]], padding: int = 0) -> dict[str, Tensor]:
    """Return a batch of texts, each of two tokens and its label, padded on the right."""
    ids = torch.tensor([[first, second] + [0] * padding for first, second, _ in texts])
    mask = (torch.arange(ids.shape[1]) < 2).long().expand_as(ids)
    labels = torch.tensor([label for *_, label in texts])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "task_ids": torch.zeros_like(labels)}


def probing_task(case: str) -> Task:
    """Return a classifier and the two splits; only test texts are padded."""
    width, scale, train, test = CASES[case]

    def texts(counts: _Counts) -> list[tuple[int, int, int]]:
        return [
            (_FIRST + kind // 6, 1 + kind % 6, label)
            for label in (0, 1)
            for kind, count in enumerate(counts[label].replace(" ", ""))
            for _ in range(int(count))
        ]

    classifier = _world(_PLACES, width, scale)
    return classifier, [_batch(texts(each)) for each in train], [_batch(texts(each), 3) for each in test]


# Opposite corners of a square have one label: no straight line gets more than three of the four right. In training they
# are not equally frequent, or a linear fit would be a draw that rounding decides; they stand where float32 is exact.
_CORNERS = ((1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0))
_CORNER_LABELS = (0, 0, 1, 1)
_CORNER_TEXTS = (9, 5, 6, 4)


def curved_task() -> Task:
    """Return a task of which nothing linear gets more than three quarters right."""
    kinds = [(first, number) for first in (_FIRST, _FIRST + 1) for number in range(4)]
    corners = [(first, 1 + number, _CORNER_LABELS[number]) for first, number in kinds]
    texts = [text for text, (_, number) in zip(corners, kinds, strict=True) for _ in range(_CORNER_TEXTS[number])]
    world = _world(_CORNERS, 15, 3.0, torch.eye(3))
    return world, [_batch(texts) for _ in range(4)], [_batch(corners, 2) for _ in range(3)]


# Three places on a straight line, of which the middle one has a label of its own: nothing linear gets more than two of
# the three right, but a function of each feature by itself does: its square, its positive part, its tanh, its variance.
_IN_A_ROW = (-1.0, 0.5, 2.0)
_TEXTS_IN_A_ROW = (4, 6, 3)


def row_task() -> Task:
    """Return a task of which nothing linear gets more than two thirds right, though features one by one tell it."""
    kinds = [(first, number, int(number == 1)) for first in (_FIRST, _FIRST + 1) for number in range(3)]
    train = [(first, 1 + number, label) for first, number, label in kinds for _ in range(_TEXTS_IN_A_ROW[number])]
    test = [(first, 1 + number, label) for first, number, label in kinds]
    world = _world([(place, 0.0) for place in _IN_A_ROW], 15, 1.0)
    return world, [_batch(train) for _ in range(4)], [_batch(test, 2) for _ in range(3)]


# The second coordinate says the label, always; the first is several times as loud and goes along with it more often
# than not. A fit that is held back, or stopped soon, follows the loud one. Few texts make it easy to hold back, many
# features make it quick to fit by gradient steps. The second coordinate has more than one value for each label, or
# discriminant analysis would find no variance in it.
_LOUD = 4.0
_QUIET = ((_LOUD, 0.5), (_LOUD, 0.75), (-_LOUD, -0.5), (-_LOUD, -0.75), (_LOUD, -0.625), (-_LOUD, 0.625))
_QUIET_TEXTS = (3, 3, 3, 3, 2, 2)


def quiet_task() -> Task:
    """Return a task that a straight line solves without an error, by what varies least in the features."""
    kinds = [(first, number, int(_QUIET[number][1] > 0)) for first in (_FIRST, _FIRST + 1) for number in range(6)]
    train = [(first, 1 + number, label) for first, number, label in kinds for _ in range(_QUIET_TEXTS[number])]
    test = [(first, 1 + number, label) for first, number, label in kinds]
    return _world(_QUIET, 48, 1.0), [_batch(train[::2]), _batch(train[1::2])], [_batch(test, 2) for _ in range(3)]
