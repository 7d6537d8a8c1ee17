"""Exercise 1.3: a fresh linear probe on the frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cfhelpers.course.checks.demonstrating.old_head import accuracy
from cfhelpers.course.checks.demonstrating.texts import CASES, Batches, curved_task, probing_task, quiet_task, row_task
from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number
from cfhelpers.course.checks.toys import Unharmed, require_evaluation_mode, toy_body
from cfhelpers.models.classifier import MultiTaskClassifier


def _relabelled(batches: Batches, label: int) -> Batches:
    """Give all texts but the first of each batch one label."""
    return [
        {**batch, "labels": torch.cat([torch.tensor([1 - label]), torch.full_like(batch["labels"][1:], label)])}
        for batch in batches
    ]


def _examine_probe(answer: Callable[..., Any]) -> Numbers:
    numbers = _accuracies(answer)
    relabelled = [{case: _accuracy_of(answer, case, label=label) for case in CASES} for label in (0, 1)]
    found = {case: numbers[f"{case}: {_ON_TEST}"] for case in CASES}
    explained = [{case: _accuracy_of(other, case) for case in CASES} for other in _UNTRAINED]
    if relabelled == [found, found] and any(found.values()) and found not in explained:
        raise CheckFailed(
            "the accuracy stays the same with other training labels, so nothing was fitted to them. Does the optimizer "
            "take steps, on the probe's own parameters?"
        )
    if all(np.isclose(share, numbers[name]) for name, share in _accuracies(_probe).items()):
        _require_a_linear_one(answer)  # a mistake in the shares has advice of its own
        _require_a_fit_to_the_end(answer)
    return numbers


_ON_TRAINING = "accuracy on the very texts that it was fitted on, which a straight line separates,"
_ON_TEST = "accuracy"


def _accuracies(answer: Callable[..., Any]) -> Numbers:
    """Return what an answer says of the test texts, and what if the training texts stand for these."""
    numbers = {f"{case}: {_ON_TRAINING}": _accuracy_of(answer, case, itself=True) for case in CASES}
    return numbers | {f"{case}: {_ON_TEST}": _accuracy_of(answer, case) for case in CASES}


def _accuracy_of(
    answer: Callable[..., Any], case: str, *, label: int | None = None, itself: bool = False
) -> NDArray[np.float64]:
    classifier, train, test = probing_task(case)
    if label is not None:
        train = _relabelled(train, label)
    return _asked(answer, classifier, train, list(train) if itself else test)


def _asked(
    answer: Callable[..., Any], classifier: MultiTaskClassifier, train: Batches, test: Batches
) -> NDArray[np.float64]:
    unharmed = Unharmed(classifier)
    share = answer(classifier, train, test)
    require_evaluation_mode(toy_body(classifier).observed)
    if unharmed.changed():
        raise CheckFailed(
            "the encoder was trained along with the probe: its weights are not what they were. Compute features under "
            "torch.no_grad(), and give the optimizer the probe's parameters only."
        )
    unharmed.check()
    if not all(each["masked"] for each in toy_body(classifier).observed):
        raise CheckFailed("padding was read as text. Hand the attention_mask to classifier.features as well.")
    return number(share, "accuracy")


def _require_a_linear_one(answer: Callable[..., Any]) -> None:
    """Raise CheckFailed if an answer tells apart what nothing linear can."""
    share = _asked(answer, *curved_task())
    if 0.75 + 1e-6 < share <= 1:
        raise CheckFailed(
            f"the probe is not linear: it gets {float(share):.0%} right of texts of which no straight line gets more "
            "than 75 %. With a hidden layer, neighbours, a kernel or a tree it may work out what the encoder does not "
            "say. Fit one linear layer."
        )
    share = _asked(answer, *row_task())
    if 2 / 3 + 1e-6 < share <= 1:
        raise CheckFailed(
            f"the probe is not linear: it gets {float(share):.0%} right of texts of which no straight line gets more "
            "than 67 %, for the middle one of three places on a line has a label of its own. Are features squared, cut "
            "off or squashed (relu, tanh, softmax) before the fit, or their variances compared? Fit one linear layer "
            "on the features as they are."
        )


def _require_a_fit_to_the_end(answer: Callable[..., Any]) -> None:
    """Raise CheckFailed if an answer misses what a straight line finds, but the fit is held back or stopped soon."""
    share = _asked(answer, *quiet_task())
    if share < 1 - 1e-6:
        raise CheckFailed(
            f"the probe gets {float(share):.0%} right of texts that a straight line separates without an error: what "
            "says the label varies little in them, beside something that varies several times as much. Is the fit held "
            "back (ridge, weight decay, a small C, fewer dimensions), or stopped after a few steps? Fit to "
            "convergence, hardly regularised."
        )


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
    """Fit a linear classifier by least squares on one-hot labels; return what gives a number for each class."""

    def with_ones(x: Tensor) -> Tensor:
        return torch.cat([x.double(), torch.ones(len(x), 1)], dim=1)

    wanted = nn.functional.one_hot(labels, int(labels.max()) + 1).double()
    weights = torch.linalg.lstsq(with_ones(features), wanted, driver="gelsd").solution
    return lambda x: with_ones(x) @ weights


def _probe(
    classifier: MultiTaskClassifier,
    train: Batches,
    test: Batches,
    fit: Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]] = _fit,
) -> float:
    logits = fit(*_features(classifier, train))
    features, labels = _features(classifier, test)
    return float((logits(features).argmax(-1) == labels).double().mean())


def _fit_by_logistic_regression(features: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
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


def _library(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    return _probe(classifier, train, test, _fit_by_logistic_regression)


def _unmasked_probe(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    def read_padding(batches: Batches) -> Batches:
        return [{**batch, "attention_mask": torch.ones_like(batch["attention_mask"])} for batch in batches]

    return _probe(classifier, read_padding(train), read_padding(test))


def _first_token_probe(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    def cut(batches: Batches) -> Batches:
        return [{name: x[:, :1] if x.ndim == 2 else x for name, x in batch.items()} for batch in batches]

    return _probe(classifier, cut(train), cut(test))


def _most_frequent(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    """Say the most frequent training label of every text."""
    label = torch.cat([batch["labels"] for batch in train]).bincount().argmax()
    return float((torch.cat([batch["labels"] for batch in test]) == label).double().mean())


def _standardised_apart(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    """Bring the features of each split to mean 0 and deviation 1 by its own numbers."""

    def own(features: Tensor) -> Tensor:
        return (features - features.mean(dim=0)) / features.std(dim=0).clamp(min=1e-6)

    (features, labels), (asked, right) = _features(classifier, train), _features(classifier, test)
    return float((_fit(own(features), labels)(own(asked)).argmax(-1) == right).double().mean())


def _old_head(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    return accuracy(classifier, test)


def _share_of_ones(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    logits = _fit(*_features(classifier, train))
    return float(logits(_features(classifier, test)[0]).argmax(-1).double().mean())


def _fitted_on_test(classifier: MultiTaskClassifier, train: Batches, test: Batches) -> float:
    return _probe(classifier, test, test)


_UNTRAINED = (_old_head, _fitted_on_test)  # they look at no training label either, and have advice of their own


linear_probe = Exercise(
    number="1.3",
    reread="Is it lost, or only out of reach?",
    verified="a fresh linear classifier was fitted on training features of the frozen encoder and scored on test texts",
    reference=_probe,
    library=_library,
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
            "the last training batch is left out, and perhaps others: is there a return or a break inside the loop, or "
            "is only the first batch taken? Collect the features of all batches first.",
            lambda classifier, train, test: _probe(classifier, train[:1], test),
        ),
        Mistake(
            "all texts get one answer, the most frequent training label: nothing of the features is in it. Fit a "
            "linear classifier on them, and ask it for each text.",
            _most_frequent,
        ),
        Mistake(
            "training and test features are standardised each by their own mean and deviation, so that the same text "
            "has other features in either. Use those of the training features for both.",
            _standardised_apart,
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
            "not one text is right, in training either, which guessing would be better at. Does argmax go down the "
            "texts (argmax(0)) and not over the classes (argmax(-1)), or is a division cut off (//)?",
            lambda classifier, train, test: 0.0,
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
