"""Wrong answers that were once accepted, or told a mistake that was not theirs; and answers that fit one size only."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812, the name everybody reads
from torch import nn

from cfhelpers.course.checks import CheckFailed, demonstrating, ewc, fisher, language, starting


def last_occurrence(experiment):
    learned, tested = experiment["learned"], experiment["tested"]
    if experiment["split"] != "test" or tested not in learned or tested not in experiment["tested after"]:
        return False
    position = max(i for i, task in enumerate(learned) if task == tested)
    return any(task in experiment["tested after"] for task in learned[position + 1 :])


def right_accuracy(classifier, batches):
    return language_free_accuracy(classifier, batches).mean().item()


def language_free_accuracy(classifier, batches):
    classifier.eval()
    with torch.no_grad():
        return torch.cat(
            [
                (classifier(**{n: v for n, v in b.items() if n != "labels"}).logits.argmax(-1) == b["labels"]).double()
                for b in batches
            ]
        )


def all_of_a_batch(classifier, batches):
    return sum(float(language_free_accuracy(classifier, [b]).all()) for b in batches) / len(batches)


def probe(classifier, train, test, *, fit=True, only_last=False):
    classifier.eval()
    with torch.no_grad():
        made = [
            (
                torch.cat([classifier.features(b["input_ids"], b["attention_mask"]) for b in batches]),
                torch.cat([b["labels"] for b in batches]),
            )
            for batches in (train[-1:] if only_last else train, test)
        ]
    (x, y), (x_test, y_test) = made
    layer = nn.Linear(x.shape[1], 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(300 if fit else 0):
        optimizer.zero_grad()
        F.cross_entropy(layer(x), y).backward()
        optimizer.step()
    return float((layer(x_test).argmax(-1) == y_test).double().mean())


def weighted_with_log_p(model, inputs):
    model.eval()
    total = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    for row in inputs:
        for log_p in model(row[None]).log_softmax(-1)[0]:
            found = torch.autograd.grad(log_p, list(model.parameters()), retain_graph=True)
            for name, g in zip(total, found, strict=True):
                total[name] += log_p.detach() * g**2
    return {name: value / len(inputs) for name, value in total.items()}


def exact_of_five(model, inputs):
    model.eval()
    total = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    for row in inputs:
        log_probabilities = model(row[None]).log_softmax(-1)[0]
        for label in range(min(4, len(log_probabilities))):
            found = torch.autograd.grad(log_probabilities[label], list(model.parameters()), retain_graph=True)
            for name, g in zip(total, found, strict=True):
                total[name] += log_probabilities[label].detach().exp() * g**2
    return {name: value / 5 for name, value in total.items()}


def batch_of(pairs, end_id, pad_id, *, width=None, dtype=torch.long):
    rows = [([*q, *a, end_id], [-100] * len(q) + [*a, end_id]) for q, a in pairs]
    width = width or max(len(ids) for ids, _ in rows)
    return {
        "input_ids": torch.tensor([ids + [pad_id] * (width - len(ids)) for ids, _ in rows]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in rows]),
        "labels": torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in rows]).to(dtype),
    }


def fisher_by(count):
    def answer(model, batches):
        model.eval()
        total, n = {}, 0
        for batch in batches:
            for row in range(len(batch["labels"])):
                one = {name: value[row : row + 1] for name, value in batch.items()}
                model.zero_grad()
                (model(**one).loss * count(one)).backward()
                n += 1
                for name, parameter in model.named_parameters():
                    if parameter.requires_grad:
                        total[name] = total.get(name, 0) + parameter.grad.detach() ** 2
        model.zero_grad()
        return {name: value / n for name, value in total.items()}

    return answer


class Penalty:
    def __init__(self, model, importance, strength):
        self.importance, self.strength = importance, strength
        self.anchor = {n: p.detach().clone() for n, p in model.named_parameters() if n in importance}
        self.check(model)

    def check(self, model):
        names = dict(model.named_parameters())
        for name in self.importance:
            names[name]

    def value(self, model):
        weights = dict(model.named_parameters())
        return (
            self.strength / 2 * sum((f * (weights[n] - self.anchor[n]) ** 2).sum() for n, f in self.importance.items())
        )


class LateAnchor(Penalty):
    def __init__(self, model, importance, strength):
        self.importance, self.strength, self.anchor = importance, strength, {}
        self.check(model)

    def value(self, model):
        if not self.anchor:
            self.anchor = {n: p.detach().clone() for n, p in model.named_parameters()}
        return super().value(model)


class Multiplied(Penalty):
    def __init__(self, model, importance, strength):
        super().__init__(model, importance, strength)
        for tensor in importance.values():
            tensor.mul_(strength / 2)
        self.strength = 2.0


class EveryWeight(Penalty):
    def value(self, model):
        free = [p for n, p in model.named_parameters() if n not in self.importance and p.requires_grad]
        return super().value(model) + sum(p.square().sum() for p in free)


def perplexity_by(combine):
    def answer(model, batches):
        model.eval()
        with torch.no_grad():
            losses = [float(model(**batch).loss) for batch in batches]
        return combine(losses, batches)

    return answer


def targets(batch):
    return int((batch["labels"][:, 1:] != -100).sum())


def mean_by(count):
    return perplexity_by(
        lambda losses, batches: math.exp(
            sum(x * count(b) for x, b in zip(losses, batches, strict=True)) / sum(map(count, batches))
        )
    )


def brackets_forgotten(weights, gradients, damping):
    omega = -sum(g * (b - a) for g, a, b in zip(gradients, weights, weights[1:], strict=False))
    return omega.clamp(min=0) / (weights[-1] - weights[0]) ** 2 + damping


def online(fishers, decay):
    total = {}
    for fisher_of_task in fishers:
        total = {n: decay * t for n, t in total.items()}
        for name, tensor in fisher_of_task.items():
            total[name] = total[name] + tensor if name in total else tensor
    return total


def step(divide=None, evaluation=False):
    def answer(model, micro_batches, penalty):
        if evaluation:
            model.eval()
        model.zero_grad()
        for batch in micro_batches:
            (model(**batch).loss / (divide or len(micro_batches))).backward()
        penalty.value(model).backward()

    return answer


def measures(since_learned):
    def answer(results):
        last, n = results[-1], len(results) - 1
        best = [max(x for x in results[j if since_learned else 0 : n, j] if not np.isnan(x)) for j in range(n)]
        return (
            sum(last[j] - results[j, j] for j in range(n)) / n,
            sum(best[j] - last[j] for j in range(n)) / n,
        )

    return answer


WRONG = {
    # once accepted
    "0.1 cut at one": (
        starting.share_lost, lambda b, a, c: min(1, (b - a) / (b - c)), "cut off at 1", ""
    ),
    "0.3 last occurrence": (starting.shows_forgetting, last_occurrence, "last time that the tested task", ""),
    "1.1 best since learned": (
        demonstrating.transfer_and_forgetting, measures(True), "best score since the task was learned", ""
    ),
    "3.1 labels as int32": (ewc.dialogue_batch, lambda *a: batch_of(*a, dtype=torch.int32), r"torch\.long", ""),
    "3.1 one width for all": (
        ewc.dialogue_batch, lambda *a: batch_of(*a, width=8), "in the case “four other pairs”|stopped", ""
    ),
    "3.2 counts the first position": (
        ewc.fisher, fisher_by(lambda one: (one["labels"] != -100).sum()), "first token is never predicted", ""
    ),
    "3.3 an anchor at the first value": (ewc.penalty, LateAnchor, r"taken when value\(\) is first called", ""),
    "3.3 importance multiplied in place": (ewc.penalty, Multiplied, "changed the importance that it was given", ""),
    "3.3 every weight": (ewc.penalty, EveryWeight, "is .* where|times", ""),
    "4.1 the mask counted": (
        language.perplexity, mean_by(lambda b: int(b["attention_mask"][:, 1:].sum())), "attention mask", ""
    ),
    "4.3 a task's own tensor": (language.online_importance, online, "a task's own tensor", ""),
    "4.4 the number written in": (language.gradient_of_step, step(divide=3), "where|times|losses", ""),
    "4.4 evaluation mode": (language.gradient_of_step, step(evaluation=True), "evaluation mode", ""),
    "2.2 sizes written in": (fisher.exact_fisher, exact_of_five, "where|times", "not divided"),
    # once told another mistake
    "1.2 all of a batch": (demonstrating.old_task_accuracy, all_of_a_batch, r"\.all\(\)", "only the last batch"),
    "1.3 fitted on the last batch": (
        demonstrating.linear_probe, lambda *a: probe(*a, only_last=True), "that it was fitted on", "test texts together"
    ),
    "1.3 never trained": (
        demonstrating.linear_probe, lambda *a: probe(*a, fit=False), "where .* is right", "test texts together"
    ),
    "2.2 weighted with log p": (fisher.exact_fisher, weighted_with_log_p, "log-probability", "Square first"),
    "4.1 perplexities weighted by targets": (
        language.perplexity,
        perplexity_by(
            lambda losses, batches: (
                sum(math.exp(x) * targets(b) for x, b in zip(losses, batches, strict=True)) / sum(map(targets, batches))
            )
        ),
        "weighted by their targets", "mean of the batches",
    ),
    "4.2 brackets forgotten": (
        language.path_importance, brackets_forgotten, "added to the quotient", "damping ξ is missing"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_it_is_rejected_and_told_nothing_false(name):
    exercise, answer, message, never = WRONG[name]
    with pytest.raises(CheckFailed, match=message) as failure:
        exercise(answer)
    assert not never or never not in str(failure.value)


RIGHT = {
    "1.1": (demonstrating.transfer_and_forgetting, measures(False)),
    "1.2": (demonstrating.old_task_accuracy, right_accuracy),
    "1.3": (demonstrating.linear_probe, probe),
    "3.1": (ewc.dialogue_batch, batch_of),
    "3.2": (ewc.fisher, fisher_by(lambda one: (one["labels"][:, 1:] != -100).sum())),
    "3.3": (ewc.penalty, Penalty),
    "4.1": (language.perplexity, mean_by(targets)),
    "4.3": (language.online_importance, lambda f, d: {n: t.clone() for n, t in online(f, d).items()}),
    "4.4": (language.gradient_of_step, step()),
}


@pytest.mark.parametrize("number", RIGHT)
def test_the_right_answer_beside_them_is_accepted(number):
    exercise, answer = RIGHT[number]
    assert exercise(answer) is answer


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda p: p.grad.data**2, True),
        (lambda p: p.grad.detach() ** 2, True),
        (lambda p: p.grad.clone(), True),
        (lambda p: p.gradient, False),
    ],
)
def test_what_tutorials_write_of_a_frozen_weight_is_explained(write, said):
    def answer(model, batches):
        model.eval()
        model(**batches[0]).loss.backward()
        return {name: write(parameter) for name, parameter in model.named_parameters()}

    with pytest.raises(CheckFailed) as failure:
        ewc.fisher(answer)
    assert ("frozen parameter has no gradient" in str(failure.value)) == said


def test_a_missing_name_is_not_told_as_a_case():
    def answer(*inputs):
        return {name: value for name, value in batch_of(*inputs).items() if name != "attention_mask"}

    with pytest.raises(CheckFailed) as failure:
        ewc.dialogue_batch(answer)
    assert "in the case “padding is the end-of-sequence token”: the answer lacks 'attention_mask'" in str(failure.value)
    assert "it has 'input_ids', 'labels'." in str(failure.value)
