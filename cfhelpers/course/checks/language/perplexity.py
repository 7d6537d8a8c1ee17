"""Exercise 4.1: the perplexity of a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from cfhelpers import metrics
from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number
from cfhelpers.course.checks.toys import ToyLanguageModel, Unharmed, require_evaluation_mode
from cfhelpers.evaluation.scores import evaluating, model_inputs

Batch = dict[str, Tensor]
Counts = tuple[Tensor, Tensor]
"""Nats and number of targets, each of shape [B]."""


# Case: lengths of the texts in each batch, and how many tokens at the start of each batch's texts have no label.
_CASES = {"six texts": (((2, 7, 4), (8,), (5, 3)), (0, 0, 0)), "seven texts": (((4, 6), (5, 7, 7, 4), (6,)), (2, 0, 1))}


def _texts(case: str) -> list[Batch]:
    """Return batches of texts of unequal lengths; what is padding has no label."""
    generator = torch.Generator().manual_seed(15)
    batches = []
    for lengths, unlabelled in zip(*_CASES[case], strict=True):
        ids = torch.randint(1, 9, (len(lengths), max(lengths)), generator=generator)
        ids[0, 3] = 0  # a target like any other: only −100 is none
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).long()
        labels = torch.where(mask == 1, ids, -100)
        labels[:, :unlabelled] = -100
        batches.append({"input_ids": torch.where(mask == 1, ids, 0), "attention_mask": mask, "labels": labels})
    return batches


def _examine(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case in _CASES:
        model, batches = ToyLanguageModel().train(), _texts(case)
        unharmed = Unharmed(model)
        value = answer(model, batches)
        require_evaluation_mode(model.observed)
        unharmed.check()
        numbers[f"{case}: the perplexity"] = number(value, "the perplexity")
    _require_all_digits({case: float(numbers[f"{case}: the perplexity"]) for case in _CASES})
    return numbers


def _require_all_digits(found: dict[str, float]) -> None:
    """Raise CheckFailed if right perplexities are rounded: what is compared with them may differ by less."""
    near = [abs(each - _by(_right)(ToyLanguageModel(), _texts(case))) < 0.51 for case, each in found.items()]
    if all(near) and all(abs(each - round(each, 2)) <= 1e-7 * abs(each) for each in found.values()):
        raise CheckFailed(
            "the perplexity is rounded. Return it as it comes out, and round it where it is shown: the next one may "
            "differ by less."
        )


@torch.no_grad()
def _counts(model: Any, batch: Batch, labels: Tensor | None = None, shift: int = 1) -> Counts:
    """Return each text's nats and targets; ``shift`` 0 compares logits with their own positions."""
    model.eval()
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    labels = batch["labels"] if labels is None else labels
    length = labels.shape[1]
    nats = torch.nn.functional.cross_entropy(
        logits[:, : length - shift].transpose(1, 2), labels[:, shift:], ignore_index=-100, reduction="none"
    )
    return nats.sum(1), (labels[:, shift:] != -100).sum(1)


def _by(combine: Callable[[list[Counts], list[Batch]], Any], **how: Any) -> Callable[..., Any]:
    """Return an answer that combines the counts of all batches; ``how`` is passed on to :func:`_counts`."""

    def answer(model: Any, batches: list[Batch]) -> Any:
        labels = how.get("labels", lambda batch: None)
        counts = [_counts(model, batch, labels(batch), how.get("shift", 1)) for batch in batches]
        return combine(counts, batches)

    return answer


def _right(counts: list[Counts], batches: list[Batch]) -> float:
    return math.exp(_nats(counts) / _targets(counts))


def _nats(counts: list[Counts]) -> float:
    return float(sum(nats.sum() for nats, _ in counts))


def _targets(counts: list[Counts]) -> int:
    return int(sum(targets.sum() for _, targets in counts))


def _means(counts: list[Counts]) -> Iterator[float]:
    """Yield the mean loss of each batch, as the model returns it."""
    return (float(nats.sum() / targets.sum()) for nats, targets in counts)


def _weighted(values: Iterable[float], weights: list[int]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


@torch.no_grad()
def _mean_of_exponentials(model: Any, batches: list[Batch]) -> float:
    found = []
    for batch in batches:
        logits = model.eval()(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        nats = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch["labels"][:, 1:], reduction="none")
        found.append(nats[batch["labels"][:, 1:] != -100].exp())
    return float(torch.cat(found).mean())


def _library(model: Any, batches: Iterable[Batch]) -> float:
    nats, targets = 0.0, 0
    with evaluating(model):
        for batch in batches:
            inputs = model_inputs(model, batch)
            n_targets = int((batch["labels"][:, 1:] != -100).sum())
            nats += float(model(**inputs, labels=batch["labels"].to(inputs["input_ids"].device)).loss) * n_targets
            targets += n_targets
    return metrics.perplexity(nats, targets)


_TOTALS = "Add up nats and targets over all batches, divide once, and take the exponential last."

perplexity = Exercise(
    number="4.1",
    reread="Perplexity: one exponential, at the end",
    verified="nats and targets are summed over everything, shifted by one, without dropout or padding",
    reference=_by(_right),
    library=_library,
    examine=_examine,
    mistakes=[
        Mistake(
            f"this is the mean of the batches' perplexities, which depends on how texts are batched. {_TOTALS}",
            _by(lambda c, b: sum(map(math.exp, _means(c))) / len(c)),
        ),
        Mistake(
            f"this is the exponential of the mean of the batches' losses: small batches count too much. {_TOTALS}",
            _by(lambda c, b: math.exp(sum(_means(c)) / len(c))),
        ),
        Mistake(
            f"the batches' losses were added up but not divided. {_TOTALS}",
            _by(lambda c, b: math.exp(sum(_means(c)))),
        ),
        Mistake(
            f"this is the exponential of all nats together. {_TOTALS}", _by(lambda c, b: math.exp(min(_nats(c), 700)))
        ),
        Mistake(
            f"this is the perplexity of the last batch. {_TOTALS}", _by(lambda c, b: math.exp(list(_means(c))[-1]))
        ),
        Mistake(
            f"this is the mean of the texts' perplexities. {_TOTALS}",
            _by(lambda c, b: float(torch.cat([torch.exp(nats / n) for nats, n in c]).mean())),
        ),
        Mistake(
            f"each text counts alike, however long it is. {_TOTALS}",
            _by(lambda c, b: math.exp(float(torch.cat([nats / n for nats, n in c]).mean()))),
        ),
        Mistake(
            "the logits were compared with the labels of the same positions. The logits at t speak of token t + 1.",
            _by(_right, shift=0),
        ),
        Mistake(
            "the labels were shifted twice. The model shifts them itself: give it the labels as they are.",
            _by(_right, shift=2),
        ),
        Mistake(
            "padding was predicted and counted. Use the batch's labels, which are −100 there.",
            _by(_right, labels=lambda batch: batch["input_ids"]),
        ),
        Mistake(
            "you divided by the number of tokens. The first token of a text is predicted by nothing: count "
            "labels[:, 1:] that are not −100.",
            _by(lambda c, b: math.exp(_nats(c) / int(sum(each["attention_mask"].sum() for each in b)))),
        ),
        Mistake(
            "you divided by the number of all positions, padding included. Count labels[:, 1:] that are not −100.",
            _by(lambda c, b: math.exp(_nats(c) / sum(each["labels"].numel() for each in b))),
        ),
        Mistake(
            "you divided by the number of all positions but the first, padding included. Count labels that are not "
            "−100.",
            _by(lambda c, b: math.exp(_nats(c) / sum(each["labels"][:, 1:].numel() for each in b))),
        ),
        Mistake(
            "you multiplied each mean loss by its number of tokens. It is a mean over targets: one less for each text.",
            _by(
                lambda c, b: math.exp(
                    sum(m * int(each["attention_mask"].sum()) for m, each in zip(_means(c), b, strict=True))
                    / _targets(c)
                )
            ),
        ),
        Mistake(
            "the batches' losses are weighted by their labels, the first of each text too. The first token is "
            "predicted by nothing: weight by labels[:, 1:] that are not −100.",
            _by(lambda c, b: math.exp(_weighted(_means(c), [int((x["labels"] != -100).sum()) for x in b]))),
        ),
        Mistake(
            "each mean loss is multiplied by the number of labels, the first of each text too, and the sum divided by "
            "the number of targets. Multiply by labels[:, 1:] that are not −100.",
            _by(
                lambda c, b: math.exp(
                    sum(m * int((x["labels"] != -100).sum()) for m, x in zip(_means(c), b, strict=True)) / _targets(c)
                )
            ),
        ),
        Mistake(
            "nats are divided by the number of labels, the first of each text too. The first token is predicted by "
            "nothing: count labels[:, 1:] that are not −100.",
            _by(lambda c, b: math.exp(_nats(c) / sum(int((x["labels"] != -100).sum()) for x in b))),
        ),
        Mistake(
            "the batches' losses are weighted by their tokens. A loss is a mean over targets: weight by labels[:, 1:] "
            "that are not −100.",
            _by(lambda c, b: math.exp(_weighted(_means(c), [int(x["attention_mask"].sum()) for x in b]))),
        ),
        Mistake(
            "the batches' losses are weighted by the attention mask without its first column. It is 1 on tokens that "
            "have no label, too: count labels[:, 1:] that are not −100.",
            _by(lambda c, b: math.exp(_weighted(_means(c), [int(x["attention_mask"][:, 1:].sum()) for x in b]))),
        ),
        Mistake(
            "nats are divided by the attention mask's sum without its first column. It is 1 on tokens that have no "
            "label, too: count labels[:, 1:] that are not −100.",
            _by(lambda c, b: math.exp(_nats(c) / sum(int(x["attention_mask"][:, 1:].sum()) for x in b))),
        ),
        Mistake(
            "the batches' losses are weighted by all of their positions, padding included. A loss is a mean over "
            "targets: weight by labels[:, 1:] that are not −100.",
            _by(lambda c, b: math.exp(_weighted(_means(c), [x["labels"].numel() for x in b]))),
        ),
        Mistake(
            "the batches' losses are weighted by all of their positions but the first, padding included. A loss is a "
            "mean over targets: weight by labels[:, 1:] that are not −100.",
            _by(lambda c, b: math.exp(_weighted(_means(c), [x["labels"][:, 1:].numel() for x in b]))),
        ),
        Mistake(
            "one is taken from each batch's number of labels. The first token of every text is predicted by nothing: "
            "count labels[:, 1:] that are not −100.",
            _by(lambda c, b: math.exp(_weighted(_means(c), [int((x["labels"] != -100).sum()) - 1 for x in b]))),
        ),
        Mistake(
            "the batches' losses are weighted by labels[:, 2:], one column too few. Only the first token of a text is "
            "predicted by nothing: count labels[:, 1:] that are not −100.",
            _by(lambda c, b: math.exp(_weighted(_means(c), [int((x["labels"][:, 2:] != -100).sum()) for x in b]))),
        ),
        Mistake(
            "nats are divided by the number of labels without their first two columns. Only the first token of a text "
            "is predicted by nothing: count labels[:, 1:] that are not −100.",
            _by(lambda c, b: math.exp(_nats(c) / sum(int((x["labels"][:, 2:] != -100).sum()) for x in b))),
        ),
        Mistake(
            "nats are divided by the number of labels without their last column. It is the first position that is no "
            "target: labels[:, 1:].",
            _by(lambda c, b: math.exp(_nats(c) / sum(int((x["labels"][:, :-1] != -100).sum()) for x in b))),
        ),
        Mistake(
            "nats are divided by targets and texts together: one is added for each text. Count labels[:, 1:] that are "
            "not −100.",
            _by(lambda c, b: math.exp(_nats(c) / (_targets(c) + sum(len(x["labels"]) for x in b)))),
        ),
        Mistake(
            "the last batch is left out. Add up over all of them.",
            _by(lambda c, b: _right(c[:-1], b)),
        ),
        Mistake(
            "the first batch is left out. Add up over all of them.",
            _by(lambda c, b: _right(c[1:], b)),
        ),
        Mistake(
            "nats are divided by the number of batches. Divide by the number of targets.",
            _by(lambda c, b: math.exp(min(_nats(c) / len(c), 700))),
        ),
        Mistake(
            "this is 10 to the power of nats. The loss is in nats: take exp.",
            _by(lambda c, b: 10 ** (_nats(c) / _targets(c))),
        ),
        Mistake(
            "the nats of the last batch alone are divided by all targets: is the sum begun anew in the loop (= for "
            "+=)?",
            _by(lambda c, b: math.exp(_nats(c[-1:]) / _targets(c))),
        ),
        Mistake(
            "all nats are divided by the targets of the last batch: is their number set anew in the loop (= for +=)?",
            _by(lambda c, b: math.exp(min(_nats(c) / _targets(c[-1:]), 700))),
        ),
        Mistake(
            "each mean loss is multiplied by its number of texts, and the sum divided by the number of targets. "
            "Multiply by targets: labels[:, 1:] that are not −100.",
            _by(
                lambda c, b: math.exp(
                    sum(m * len(x["labels"]) for m, x in zip(_means(c), b, strict=True)) / _targets(c)
                )
            ),
        ),
        Mistake(
            "the exponential is taken of each token's nats, and the mean of these. The exponential comes last.",
            _mean_of_exponentials,
        ),
        Mistake(
            "the labels were counted without their last column. It is the first position that is no target: "
            "labels[:, 1:].",
            _by(lambda c, b: math.exp(_weighted(_means(c), [int((x["labels"][:, :-1] != -100).sum()) for x in b]))),
        ),
        Mistake(
            "the batches' mean losses are added up and divided by the number of targets. Multiply each mean by its "
            "batch's targets first: that gives its nats.",
            _by(lambda c, b: math.exp(sum(_means(c)) / _targets(c))),
        ),
        Mistake(
            f"the batches' perplexities are averaged, weighted by their targets. {_TOTALS}",
            _by(lambda c, b: _weighted(map(math.exp, _means(c)), [int(n.sum()) for _, n in c])),
        ),
        Mistake(
            f"the texts' perplexities are averaged, weighted by their targets. {_TOTALS}",
            _by(
                lambda c, b: _weighted(
                    [math.exp(x) for nats, n in c for x in (nats / n).tolist()], [x for _, n in c for x in n.tolist()]
                )
            ),
        ),
        Mistake(
            f"this is the perplexity of the first batch: is there a return inside the loop? {_TOTALS}",
            _by(lambda c, b: math.exp(next(_means(c)))),
        ),
        Mistake(
            "you weighted the batches' losses by their numbers of texts. Weight them by their numbers of targets.",
            _by(
                lambda c, b: math.exp(
                    sum(m * len(each["labels"]) for m, each in zip(_means(c), b, strict=True))
                    / sum(len(each["labels"]) for each in b)
                )
            ),
        ),
        Mistake(
            "these are nats per text. Divide by the number of targets.",
            _by(lambda c, b: math.exp(_nats(c) / sum(len(each["labels"]) for each in b))),
        ),
        Mistake("these are nats per target: take the exponential of that.", _by(lambda c, b: _nats(c) / _targets(c))),
        Mistake("the sign is wrong: nats are minus the log-probability.", _by(lambda c, b: 1 / _right(c, b))),
        Mistake(
            "this is 2 to the power of nats. The loss is in nats: take exp.",
            _by(lambda c, b: 2 ** (_nats(c) / _targets(c))),
        ),
    ],
)
