"""Exercise 1.3: a fresh linear probe on the frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cfhelpers.course.checks.demonstrating.old_head import accuracy
from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number
from cfhelpers.course.checks.toys import Unharmed, require_evaluation_mode, toy_body, toy_classifier
from cfhelpers.models.classifier import MultiTaskClassifier

Batches = list[dict[str, Tensor]]

# Texts of four kinds; how many of each kind carry label 0 and label 1. Kinds 2 and 3 turn round from training to test,
# so that every way of confusing the splits gives its own accuracy.
_CASES = {
    "46 and 34 texts": (((14, 1), (2, 9), (6, 4), (2, 8)), ((9, 1), (1, 7), (2, 6), (6, 2))),
    "41 and 33 texts": (((5, 2), (8, 1), (2, 5), (11, 7)), ((1, 9), (3, 5), (7, 1), (6, 1))),
}
_FIRST_TOKEN = 5  # every text begins with it


def _probing_task(case: str) -> tuple[MultiTaskClassifier, Batches, Batches]:
    """Return a classifier and the two splits; a text's kind is its second token, and only test texts are padded."""
    embedding = torch.zeros(6, 5)
    embedding[1:5, :4] = 3 * torch.eye(4)
    embedding[_FIRST_TOKEN, 4] = 0.5
    embedding[0] = 4 * embedding[2]  # what padding would say, if it were read
    classifier = toy_classifier(embedding, {"previous": 2})

    def batches(counts: tuple[tuple[int, int], ...], padding: int) -> Batches:
        texts = [(kind + 1, label) for kind, pair in enumerate(counts) for label in (0, 1) for _ in range(pair[label])]
        texts = [texts[(7 * place) % len(texts)] for place in range(len(texts))]  # 7 divides neither length: a shuffle
        rows = [[_FIRST_TOKEN, kind] + [0] * padding for kind, _ in texts]
        ids, labels = torch.tensor(rows), torch.tensor([label for _, label in texts])
        mask = (torch.arange(ids.shape[1]) < 2).long().expand_as(ids)
        names = ("input_ids", "attention_mask", "labels", "task_ids")
        columns = zip(*(x.split(16) for x in (ids, mask, labels, torch.zeros_like(labels))), strict=True)
        return [dict(zip(names, column, strict=True)) for column in columns]

    train, test = _CASES[case]
    return classifier, batches(train, 0), batches(test, 3)


def _examine_probe(answer: Callable[..., Any]) -> Numbers:
    return {f"{case}: accuracy": _accuracy_of(answer, case) for case in _CASES}


def _accuracy_of(answer: Callable[..., Any], case: str) -> NDArray[np.float64]:
    classifier, train, test = _probing_task(case)
    unharmed = Unharmed(classifier)
    share = answer(classifier, train, test)
    require_evaluation_mode(toy_body(classifier).observed)
    try:
        unharmed.check(frozen=True)
    except CheckFailed as failure:
        raise CheckFailed(
            f"the encoder was trained along with the probe. {failure} Compute features without gradients."
        ) from None
    if not all(each["masked"] for each in toy_body(classifier).observed):
        raise CheckFailed("padding was read as text. Hand the attention_mask to classifier.features as well.")
    return number(share, "accuracy")


def _features(classifier: MultiTaskClassifier, batches: Iterable[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
    classifier.eval()
    device = classifier.device
    with torch.no_grad():
        pairs = [
            (classifier.features(b["input_ids"].to(device), b["attention_mask"].to(device)).cpu(), b["labels"])
            for b in batches
        ]
    features, labels = (torch.cat(column) for column in zip(*pairs, strict=True))
    return features, labels


def _fit(features: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Fit a linear classifier by logistic regression with a little weight decay; return what predicts."""
    mean, scale = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
    layer = nn.Linear(features.shape[1], int(labels.max()) + 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (
            nn.functional.cross_entropy(layer((features - mean) / scale), labels) + 1e-3 * layer.weight.square().sum()
        )
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return lambda x: layer((x - mean) / scale).argmax(-1).detach()


def _probe(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    predict = _fit(*_features(classifier, train))
    features, labels = _features(classifier, test)
    return float((predict(features) == labels).double().mean())


def _unmasked_probe(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    def read_padding(batches: Batches) -> Batches:
        return [{**batch, "attention_mask": torch.ones_like(batch["attention_mask"])} for batch in batches]

    return _probe(classifier, read_padding(train), read_padding(test))


def _first_token_probe(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    def cut(batches: Batches) -> Batches:
        return [{name: x[:, :1] if x.ndim == 2 else x for name, x in batch.items()} for batch in batches]

    return _probe(classifier, cut(train), cut(test))


linear_probe = Exercise(
    number="1.3",
    reread="Is it lost, or only out of reach?",
    verified="a fresh linear classifier was fitted on training features of the frozen encoder and scored on test texts",
    reference=_probe,
    library=_probe,
    examine=_examine_probe,
    mistakes=[
        Mistake(
            "the probe was fitted on the test texts, so it had seen what it was asked. Fit it on the training "
            "features.",
            lambda classifier, train, test: _probe(classifier, test, test),
        ),
        Mistake(
            "the probe was fitted on training and test texts together. Fit it on the training features alone.",
            lambda classifier, train, test: _probe(classifier, [*train, *test], test),
        ),
        Mistake(
            "the probe was fitted on the last training batch alone. Collect the features of all batches first.",
            lambda classifier, train, test: _probe(classifier, train[-1:], test),
        ),
        Mistake(
            "only the last test batch was scored. Score all of them.",
            lambda classifier, train, test: _probe(classifier, train, test[-1:]),
        ),
        Mistake(
            "this is the share of wrong answers.", lambda classifier, train, test: 1 - _probe(classifier, train, test)
        ),
        Mistake(
            "the probe was scored on the texts it was fitted on. Score it on the test features.",
            lambda classifier, train, test: _probe(classifier, train, train),
        ),
        Mistake(
            "training and test texts changed places.", lambda classifier, train, test: _probe(classifier, test, train)
        ),
        Mistake(
            "this is the accuracy of the old head. A probe is a new classifier, fitted on classifier.features.",
            lambda classifier, train, test: accuracy(classifier, test),
        ),
        Mistake(
            "padding was averaged into the features. Use classifier.features with the attention_mask.", _unmasked_probe
        ),
        Mistake(
            "the features are the first token's alone. Use classifier.features, the mean over the text.",
            _first_token_probe,
        ),
        Mistake(
            "this is in percent; return a share between 0 and 1.",
            lambda classifier, train, test: 100 * _probe(classifier, train, test),
        ),
    ],
)
