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

# Batches of training and of test texts: how many texts of each of four kinds carry label 0 and label 1. The first and
# the last batch of either lean other ways than the whole, so that every way of taking too little, or the wrong split,
# gives its own accuracy.
_CASES = {
    "46 and 40 texts": (
        (((0, 4), (1, 3), (3, 1), (3, 1)), ((3, 1), (4, 0), (0, 4), (3, 1)), ((4, 0), (4, 0), (0, 3), (0, 3))),
        (((3, 1), (1, 3), (4, 0), (1, 3)), ((4, 0), (1, 3), (3, 1), (4, 0)), ((2, 0), (2, 0), (2, 0), (2, 0))),
    ),
    "44 and 37 texts": (
        (((1, 3), (0, 3), (0, 4), (3, 1)), ((0, 4), (0, 4), (3, 1), (0, 4)), ((3, 1), (3, 0), (3, 0), (3, 0))),
        (((0, 3), (0, 4), (3, 0), (1, 3)), ((4, 0), (0, 4), (3, 1), (1, 3)), ((2, 0), (1, 0), (0, 2), (2, 0))),
    ),
}
_FIRST_TOKEN = 5  # every text begins with it


def _probing_task(case: str) -> tuple[MultiTaskClassifier, Batches, Batches]:
    """Return a classifier and the two splits; a text's kind is its second token, and only test texts are padded."""
    embedding = torch.zeros(6, 5)
    embedding[1:5, :4] = 3 * torch.eye(4)
    embedding[_FIRST_TOKEN, 4] = 0.5
    embedding[0] = 4 * embedding[3]  # what padding would say, if it were read: not what most texts do
    classifier = toy_classifier(embedding, {"previous": 2})

    def batch(counts: tuple[tuple[int, int], ...], padding: int) -> dict[str, Tensor]:
        texts = [(kind + 1, label) for kind, pair in enumerate(counts) for label in (0, 1) for _ in range(pair[label])]
        ids = torch.tensor([[_FIRST_TOKEN, kind] + [0] * padding for kind, _ in texts])
        mask = (torch.arange(ids.shape[1]) < 2).long().expand_as(ids)
        labels = torch.tensor([label for _, label in texts])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels, "task_ids": torch.zeros_like(labels)}

    train, test = _CASES[case]
    return classifier, [batch(each, 0) for each in train], [batch(each, 3) for each in test]


def _relabelled(batches: Batches, label: int) -> Batches:
    """Give all texts but the first of each batch one label."""
    return [
        {**batch, "labels": torch.cat([torch.tensor([1 - label]), torch.full_like(batch["labels"][1:], label)])}
        for batch in batches
    ]


def _examine_probe(answer: Callable[..., Any]) -> Numbers:
    found = {case: _accuracy_of(answer, case) for case in _CASES}
    relabelled = [{case: _accuracy_of(answer, case, label) for case in _CASES} for label in (0, 1)]
    if relabelled == [found, found] and not any(
        found == {c: _accuracy_of(other, c) for c in _CASES} for other in _UNTRAINED
    ):
        raise CheckFailed(
            "the accuracy stays the same with other training labels, so nothing was fitted to them. Does the optimizer "
            "take steps, on the probe's own parameters?"
        )
    return {f"{case}: accuracy": accuracy for case, accuracy in found.items()}


def _accuracy_of(answer: Callable[..., Any], case: str, label: int | None = None) -> NDArray[np.float64]:
    classifier, train, test = _probing_task(case)
    if label is not None:
        train = _relabelled(train, label)
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
    """Fit a linear classifier by logistic regression with a little weight decay; return what gives logits."""
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
    return lambda x: layer((x - mean) / scale).detach()


def _probe(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    logits = _fit(*_features(classifier, train))
    features, labels = _features(classifier, test)
    return float((logits(features).argmax(-1) == labels).double().mean())


def _unmasked_probe(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    def read_padding(batches: Batches) -> Batches:
        return [{**batch, "attention_mask": torch.ones_like(batch["attention_mask"])} for batch in batches]

    return _probe(classifier, read_padding(train), read_padding(test))


def _first_token_probe(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    def cut(batches: Batches) -> Batches:
        return [{name: x[:, :1] if x.ndim == 2 else x for name, x in batch.items()} for batch in batches]

    return _probe(classifier, cut(train), cut(test))


def _old_head(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    return accuracy(classifier, test)


def _share_of_ones(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    logits = _fit(*_features(classifier, train))
    return float(logits(_features(classifier, test)[0]).argmax(-1).double().mean())


def _down_the_texts(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    """Compare as many labels as there are classes with the texts whose logits are largest."""
    logits = _fit(*_features(classifier, train))
    features, labels = _features(classifier, test)
    rows = logits(features).argmax(0)
    return float((rows == labels[: len(rows)]).sum()) / len(labels)


def _fitted_on_test(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    return _probe(classifier, test, test)


_UNTRAINED = (_old_head, _fitted_on_test)  # they look at no training label either, and have advice of their own


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
            _fitted_on_test,
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
            "the probe was fitted on the first training batch alone: is there a return or a break inside the loop? "
            "Collect the features of all batches first.",
            lambda classifier, train, test: _probe(classifier, train[:1], test),
        ),
        Mistake(
            "the last training batch is left out. Collect the features of all batches.",
            lambda classifier, train, test: _probe(classifier, train[:-1], test),
        ),
        Mistake(
            "you averaged the accuracies of the test batches, but the last batch is smaller. Count right answers and "
            "texts over all batches, and divide once.",
            lambda classifier, train, test: sum(_probe(classifier, train, [b]) for b in test) / len(test),
        ),
        Mistake(
            "only the first test batch was scored: is there a return inside the loop? Score all of them.",
            lambda classifier, train, test: _probe(classifier, train, test[:1]),
        ),
        Mistake(
            "only the last test batch was scored. Score all of them.",
            lambda classifier, train, test: _probe(classifier, train, test[-1:]),
        ),
        Mistake(
            "the probe was scored on training and test texts together. Score it on the test features alone.",
            lambda classifier, train, test: _probe(classifier, train, [*train, *test]),
        ),
        Mistake(
            "argmax(0) goes down the texts. Classes are the last dimension of what the probe says: argmax(-1).",
            _down_the_texts,
        ),
        Mistake(
            "this is the share of texts that the probe says 1 of. Compare what it says with the labels.",
            _share_of_ones,
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
            _old_head,
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
