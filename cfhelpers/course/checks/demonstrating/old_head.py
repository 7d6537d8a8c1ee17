"""Exercise 1.2: scoring the old head on the new encoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number
from cfhelpers.course.checks.toys import Unharmed, require_evaluation_mode, toy_body, toy_classifier
from cfhelpers.models.classifier import MultiTaskClassifier

Batches = list[dict[str, Tensor]]

# Case: sizes of the batches, rows that the head gets wrong, tokens of a text, classes, position of the task's head.
_CASES = {
    "16 texts": ((9, 5, 2), (3, 11, 14, 15), 6, 3, 1),
    "14 texts": ((4, 7, 3), (1, 2, 12), 5, 4, 1),
    "one batch of 7": ((7,), (0, 4), 4, 3, 1),
    "the first task": ((5, 3), (2, 6), 5, 3, 0),
}


def _old_task(case: str) -> tuple[MultiTaskClassifier, Batches]:
    """Return a classifier with three heads, and batches of one of their tasks of which it gets most right."""
    sizes, wrong_rows, tokens, classes, task = _CASES[case]
    generator = torch.Generator().manual_seed(18)
    heads = {"first": classes, "old": classes, "new": classes}
    classifier = toy_classifier(2 * torch.randn(12, 6, generator=generator), heads)
    batches, row = [], 0
    for size in sizes:
        ids = torch.randint(1, 12, (size, tokens), generator=generator)
        mask = (torch.arange(tokens) < torch.randint(1, tokens, (size, 1), generator=generator)).long()
        batch = {"input_ids": ids * mask, "attention_mask": mask, "task_ids": torch.full((size,), task)}
        with torch.no_grad():
            right = classifier.eval()(**batch).logits.argmax(-1)
        wrong = torch.tensor([number in wrong_rows for number in range(row, row + size)])
        batches.append({**batch, "labels": torch.where(wrong, (right + 1) % classes, right)})
        row += size
    toy_body(classifier).observed.clear()
    return classifier.train(), batches


def _examine_accuracy(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case in _CASES:
        classifier, batches = _old_task(case)
        unharmed = Unharmed(classifier)
        share = _asked(answer, classifier, batches)
        require_evaluation_mode(toy_body(classifier).observed)
        unharmed.check()
        numbers[f"{case}: accuracy"] = number(share, "accuracy")
    return numbers


def _asked(answer: Callable[..., Any], classifier: MultiTaskClassifier, batches: Batches) -> Any:
    try:
        return answer(classifier, batches)
    except RuntimeError as error:
        with torch.no_grad():
            classes = classifier.eval()(**{n: x for n, x in batches[0].items() if n != "labels"}).logits.shape[-1]
        sizes = {len(batch["labels"]) for batch in batches}
        if any(f"({one})" in str(error) and f"({classes})" in str(error) for one in sizes - {classes}):
            raise CheckFailed(
                f"your code stopped with {type(error).__name__}: {error}. There are {classes} classes: argmax(0) goes "
                "down the batch. Classes are the logits' last dimension: argmax(-1)."
            ) from error
        raise


def accuracy(classifier: MultiTaskClassifier, batches: Iterable[dict[str, Tensor]]) -> float:
    """Return the share of examples that their own task's head gets right."""
    classifier.eval()
    right, total = 0, 0
    with torch.no_grad():
        for batch in batches:
            inputs = {name: batch[name].to(classifier.device) for name in ("input_ids", "attention_mask", "task_ids")}
            predictions = classifier(**inputs).logits.argmax(-1)
            right += int((predictions.cpu() == batch["labels"]).sum())
            total += len(batch["labels"])
    return right / total


def _texts(batches: Batches) -> int:
    return sum(len(batch["labels"]) for batch in batches)


def _mean_over_batches(classifier: MultiTaskClassifier, batches: Batches) -> float:
    return float(np.mean([accuracy(classifier, [batch]) for batch in batches]))


def _accuracy_with(**changes: Callable[[Tensor], Tensor]) -> Callable[[Any, Batches], float]:
    """Return an answer that changes entries of every batch."""
    return lambda classifier, batches: accuracy(
        classifier,
        [{name: changes.get(name, lambda x: x)(value) for name, value in batch.items()} for batch in batches],
    )


def _from_answers(
    classifier: MultiTaskClassifier, batches: Batches, judged: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """Return the mean of what is made of all texts' logits [N, C] and labels [N]."""
    classifier.eval()
    with torch.no_grad():
        logits = [classifier(**{n: x for n, x in b.items() if n != "labels"}).logits for b in batches]
    return float(judged(torch.cat(logits), torch.cat([b["labels"] for b in batches])).double().mean())


def _mean_over_classes(logits: Tensor, labels: Tensor) -> Tensor:
    right = (logits.argmax(-1) == labels).double()
    return torch.stack([right[labels == label].mean() for label in labels.unique()])


def _probability_of_the_label(classifier: MultiTaskClassifier, batches: Batches) -> float:
    classifier.eval()
    with torch.no_grad():
        found = [classifier(**{n: x for n, x in b.items() if n != "labels"}).logits.softmax(-1) for b in batches]
    pairs = zip(found, batches, strict=True)
    return float(torch.cat([p.gather(1, b["labels"][:, None]) for p, b in pairs]).double().mean())


def _down_the_batch(classifier: MultiTaskClassifier, batches: Batches) -> float:
    """Compare as many labels as there are classes with the rows whose logits are largest."""
    classifier.eval()
    with torch.no_grad():
        found = [classifier(**{n: x for n, x in b.items() if n != "labels"}).logits.argmax(0) for b in batches]
    pairs = [(rows.tolist(), b["labels"].tolist()) for rows, b in zip(found, batches, strict=True)]
    right = sum(one == other for rows, labels in pairs for one, other in zip(rows, labels, strict=False))
    return right / _texts(batches)


old_task_accuracy = Exercise(
    number="1.2",
    reread="The old head on the new encoder",
    verified="the old task's own head is used, padding and dropout play no part, and every example counts once",
    reference=accuracy,
    library=accuracy,
    examine=_examine_accuracy,
    mistakes=[
        Mistake(
            "the head of the newest task answered. Hand the batch's task_ids to the classifier: they choose the head.",
            _accuracy_with(task_ids=lambda ids: torch.full_like(ids, 2)),
        ),
        Mistake(
            "the head of the first task answered. Hand the batch's own task_ids to the classifier.",
            _accuracy_with(task_ids=torch.zeros_like),
        ),
        Mistake(
            "the head of the next task answered (task_ids + 1). Hand the batch's own task_ids to the classifier: they "
            "count from 0.",
            _accuracy_with(task_ids=lambda ids: ids + 1),
        ),
        Mistake(
            "one head answers for every task: its number is written in the code. Hand the batch's own task_ids to the "
            "classifier.",
            _accuracy_with(task_ids=torch.ones_like),
        ),
        Mistake(
            "len(batch) is the number of entries of a dictionary (input_ids, labels, …). Count its texts: "
            "len(batch['labels']).",
            lambda c, b: accuracy(c, b) * _texts(b) / sum(len(each) for each in b),
        ),
        Mistake(
            "padding was read as text. Hand the batch's attention_mask to the classifier.",
            _accuracy_with(attention_mask=torch.ones_like),
        ),
        Mistake(
            "you averaged the accuracies of the batches, but the last batch is smaller. Count right answers and "
            "examples "
            "over all batches, and divide once.",
            _mean_over_batches,
        ),
        Mistake(
            "you divided by the number of batches times the size of the first. Count the examples of every batch.",
            lambda c, b: accuracy(c, b) * _texts(b) / (len(b) * len(b[0]["labels"])),
        ),
        Mistake(
            "this is the number of right answers. Divide it by the number of examples.",
            lambda c, b: _texts(b) * accuracy(c, b),
        ),
        Mistake(
            "a batch counts only if all of its texts are right (.all()). Count right texts.",
            lambda c, b: float(np.mean([accuracy(c, [each]) == 1 for each in b])),
        ),
        Mistake(
            "a batch counts only if all of its texts are right (.all()), and those are divided by the number of texts. "
            "Count right texts.",
            lambda c, b: sum(accuracy(c, [each]) == 1 for each in b) / _texts(b),
        ),
        Mistake(
            "the probabilities of the right classes were averaged. An answer is right or wrong: compare argmax(-1) "
            "with the label.",
            _probability_of_the_label,
        ),
        Mistake(
            "the answers were compared with the task_ids, which say which head is asked. Compare them with the labels.",
            lambda c, b: accuracy(c, [{**each, "labels": each["task_ids"]} for each in b]),
        ),
        Mistake(
            "the batches' shares were added up and divided by the number of texts. Add up right answers, not shares.",
            lambda c, b: sum(accuracy(c, [each]) for each in b) / _texts(b),
        ),
        Mistake(
            "you divided by the number of tokens. Divide by the number of texts.",
            lambda c, b: _texts(b) * accuracy(c, b) / sum(each["input_ids"].numel() for each in b),
        ),
        Mistake(
            "each class has its own share of right answers here, and these are averaged. Count right answers over all "
            "texts, and divide once.",
            lambda c, b: _from_answers(c, b, _mean_over_classes),
        ),
        Mistake(
            "the least likely class was taken for the answer (argmin). Take argmax(-1).",
            lambda c, b: _from_answers(c, b, lambda logits, labels: logits.argmin(-1) == labels),
        ),
        Mistake(
            "the last batch is left out. Count right answers and examples over all of them.",
            lambda c, b: accuracy(c, b[:-1]) if len(b) > 1 else math.nan,
        ),
        Mistake(
            "the first batch is left out. Count right answers and examples over all of them.",
            lambda c, b: accuracy(c, b[1:]) if len(b) > 1 else math.nan,
        ),
        Mistake(
            "the right answers of one batch alone are divided by the texts of all: is the count set anew in the loop "
            "(= for +=)?",
            lambda c, b: accuracy(c, b[-1:]) * len(b[-1]["labels"]) / _texts(b),
        ),
        Mistake(
            "all right answers are divided by the texts of the last batch: is that count set anew in the loop (= for "
            "+=)?",
            lambda c, b: accuracy(c, b) * _texts(b) / len(b[-1]["labels"]),
        ),
        Mistake(
            "this is the cross-entropy, a loss. An answer is right or wrong: compare argmax(-1) with the label.",
            lambda c, b: _from_answers(c, b, lambda z, y: torch.nn.functional.cross_entropy(z, y, reduction="none")),
        ),
        Mistake(
            "argmax(0) goes down the batch: it says which text a class likes best. Classes are the logits' last "
            "dimension: argmax(-1).",
            _down_the_batch,
        ),
        Mistake("this is the share of wrong answers.", lambda c, b: 1 - accuracy(c, b)),
        Mistake("this is in percent; return a share between 0 and 1.", lambda c, b: 100 * accuracy(c, b)),
        Mistake(
            "only the first batch was scored: is the return statement inside the loop?",
            lambda c, b: accuracy(c, b[:1]),
        ),
        Mistake("only the last batch was scored: add up over all batches.", lambda c, b: accuracy(c, b[-1:])),
        Mistake(
            "you divided by the number of batches, not of examples.",
            lambda c, b: _texts(b) / len(b) * accuracy(c, b),
        ),
    ],
)
