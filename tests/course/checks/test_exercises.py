"""Exercises of chapters 1 and 3: correct answers in several styles pass, other wrong answers are told what is wrong."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from cfhelpers.course.checks import CheckFailed
from tests.course.checks.exercises import EXERCISES

# 1.1 Measures of a result matrix -------------------------------------------------------------------------------------


def measures_in_plain_python(results):
    tasks = len(results)
    transfer, forgotten = 0.0, 0.0
    for task in range(tasks - 1):
        column = [row[task] for row in results[:-1] if not np.isnan(row[task])]
        transfer += results[-1][task] - results[task][task]
        forgotten += max(column) - results[-1][task]
    return transfer / (tasks - 1), forgotten / (tasks - 1)


def measures_in_torch(results):
    matrix = torch.as_tensor(results)
    last, learned = matrix[-1, :-1], matrix.diagonal()[:-1]
    best = torch.nan_to_num(matrix[:-1, :-1], nan=-torch.inf).amax(dim=0)
    return (last - learned).mean(), (best - last).mean()


@pytest.mark.parametrize("answer", [measures_in_plain_python, measures_in_torch])
def test_measures_pass_in_other_styles(answer):
    assert EXERCISES["1.1"](answer) is answer


def measures_in_place(results):
    np.nan_to_num(results, copy=False)
    return measures_in_plain_python(results)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (measures_in_place, "changed the result matrix itself"),
        (lambda r: measures_in_plain_python(r)[0], "return two numbers"),
        (lambda r: (r[-1, :-1] - np.diagonal(r)[:-1], 0.0), r"one number, but it has shape \(3,\)"),
        (lambda r: ("a", "b"), "one number, not a value of type str"),
        (lambda r: (np.nan, np.nan), "is NaN"),
        (lambda r: (0.0, measures_in_plain_python(r)[1]), "backward transfer is 0 where -0.1867 is right"),
        (lambda r: (np.median(r[-1, :-1] - np.diagonal(r)[:-1]), 0.0), "where -0.1867 is right"),
        (lambda r: tuple(2 * x for x in measures_in_plain_python(r)), "2 times what it should be"),
        (lambda r: (measures_in_plain_python(r)[0], abs(measures_in_plain_python(r)[1]) + 0.01), "forgetting is"),
    ],
)
def test_other_wrong_measures_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["1.1"](answer)


# 1.2 The old head ----------------------------------------------------------------------------------------------------


def accuracy_from_all_predictions(classifier, batches):
    with torch.inference_mode():
        classifier.train(False)
        guesses = [
            classifier(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(1) for b in batches
        ]
    hits = torch.cat(guesses) == torch.cat([b["labels"] for b in batches])
    return hits.float().mean()


def accuracy_through_the_named_head(classifier, batches):
    frozen = copy.deepcopy(classifier).eval()
    right = examples = 0
    for batch in batches:
        name = frozen.task_names[int(batch["task_ids"][0])]
        logits = frozen.heads[name](frozen.features(batch["input_ids"], batch["attention_mask"]))
        for row, label in zip(logits, batch["labels"], strict=True):
            right += int(row.argmax() == label)
            examples += 1
    return right / examples


@pytest.mark.parametrize("answer", [accuracy_from_all_predictions, accuracy_through_the_named_head])
def test_accuracy_passes_in_other_styles(answer):
    assert EXERCISES["1.2"](answer) is answer


def accuracy_in_training_mode(classifier, batches):
    frozen_eval, classifier.eval = classifier.eval, lambda: classifier
    try:
        return EXERCISES["1.2"].reference(classifier, batches)
    finally:
        classifier.eval = frozen_eval


def accuracy_after_a_step(classifier, batches):
    with torch.no_grad():
        next(classifier.parameters()).add_(1.0)
    return EXERCISES["1.2"].reference(classifier, batches)


def accuracy_with_gradients_left(classifier, batches):
    accuracy = EXERCISES["1.2"].reference(classifier, batches)
    classifier(**batches[0]).loss.backward()
    return accuracy


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (accuracy_in_training_mode, r"in training mode.*model\.eval\(\)"),
        (accuracy_after_a_step, "changed the model: body.embedding.weight"),
        (accuracy_with_gradients_left, "left gradients in the model"),
        (
            lambda c, b: (classifier_logits(c, b).argmax(0) == b[0]["labels"]).float().mean(),
            "stopped with RuntimeError",
        ),
        (lambda c, b: 0.8, "accuracy is 0.8 where 0.75 is right"),
        (lambda c, b: {"accuracy": 0.75}, "one number, not a value of type dict"),
        (lambda c, b: [0.75, 0.75], r"has shape \(2,\)"),
    ],
)
def test_other_wrong_accuracies_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["1.2"](answer)


def classifier_logits(classifier, batches):
    batch = batches[0]
    return classifier.eval()(batch["input_ids"], batch["attention_mask"], task_ids=batch["task_ids"]).logits


# 1.3 The linear probe ------------------------------------------------------------------------------------------------


def encode(classifier, batches):
    classifier.eval()
    with torch.no_grad():
        features = torch.cat([classifier.features(b["input_ids"], b["attention_mask"]) for b in batches])
    return features, torch.cat([b["labels"] for b in batches])


def probe_by_least_squares(classifier, train, test):
    def padded(features):
        return torch.cat([features, torch.ones(len(features), 1)], dim=1)

    (x, y), (x_test, y_test) = encode(classifier, train), encode(classifier, test)
    weights = torch.linalg.lstsq(padded(x), nn.functional.one_hot(y).float(), driver="gelsd").solution
    return float(((padded(x_test) @ weights).argmax(1) == y_test).float().mean())


def probe_by_adam(classifier, train, test):
    (x, y), (x_test, y_test) = encode(classifier, train), encode(classifier, test)
    probe = nn.Linear(x.shape[1], 2)
    optimizer = torch.optim.Adam(probe.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(probe(x), y).backward()
        optimizer.step()
    return (probe(x_test).argmax(1) == y_test).float().mean().item()


def probe_by_logistic_regression(classifier, train, test):
    linear_model = pytest.importorskip("sklearn.linear_model")
    (x, y), (x_test, y_test) = encode(classifier, train), encode(classifier, test)
    return (
        linear_model.LogisticRegression(max_iter=1000).fit(x.numpy(), y.numpy()).score(x_test.numpy(), y_test.numpy())
    )


@pytest.mark.parametrize("answer", [probe_by_least_squares, probe_by_adam, probe_by_logistic_regression])
def test_probe_passes_in_other_styles(answer):
    assert EXERCISES["1.3"](answer) is answer


def probe_that_trains_the_encoder(classifier, train, test):
    probe = nn.Linear(encode(classifier, train)[0].shape[1], 2)
    optimizer = torch.optim.Adam([*classifier.parameters(), *probe.parameters()], lr=0.01)
    classifier.eval()
    for batch in train:
        optimizer.zero_grad()
        features = classifier.features(batch["input_ids"], batch["attention_mask"])
        nn.functional.cross_entropy(probe(features), batch["labels"]).backward()
        optimizer.step()
    return probe_by_least_squares(classifier, train, test)


def probe_in_training_mode(classifier, train, test):
    classifier.eval = lambda: classifier
    return probe_by_least_squares(classifier.train(), train, test)


def probe_without_mask(classifier, train, test):
    classifier.eval()
    classifier.features(train[0]["input_ids"])
    return probe_by_least_squares(classifier, train, test)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (probe_that_trains_the_encoder, "the encoder was trained along with the probe"),
        (probe_in_training_mode, "in training mode"),
        (probe_without_mask, "padding was read as text"),
        (lambda c, train, test: 1.0, "the same with other training labels, so nothing was fitted"),
        (lambda c, train, test: probe_by_least_squares(c, train[:1], test), "last training batch is left out, and"),
        (lambda c, train, test: probe_by_least_squares(c, train[:1], test[:1]), "where .* is right"),
    ],
)
def test_other_wrong_probes_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["1.3"](answer)


# 3.1 A batch of dialogue ---------------------------------------------------------------------------------------------


def batch_by_filling(pairs, end_id, pad_id):
    lengths = [len(question) + len(answer) + 1 for question, answer in pairs]
    ids = torch.full((len(pairs), max(lengths)), pad_id)
    labels = torch.full_like(ids, -100)
    mask = torch.zeros_like(ids)
    for row, (question, answer) in enumerate(pairs):
        ids[row, : lengths[row]] = torch.tensor([*question, *answer, end_id])
        labels[row, len(question) : lengths[row]] = ids[row, len(question) : lengths[row]]
        mask[row, : lengths[row]] = 1
    return {"labels": labels, "input_ids": ids, "attention_mask": mask}


def batch_by_padding(pairs, end_id, pad_id):
    def pad(rows, filler):
        return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=filler)

    whole = [[*question, *answer, end_id] for question, answer in pairs]
    targets = [[-100] * len(question) + [*answer, end_id] for question, answer in pairs]
    mask = pad([[True] * len(row) for row in whole], False)
    return {"input_ids": pad(whole, pad_id).int(), "attention_mask": mask, "labels": pad(targets, -100)}


@pytest.mark.parametrize("answer", [batch_by_filling, batch_by_padding])
def test_batch_passes_in_other_styles(answer):
    assert EXERCISES["3.1"](answer) is answer


def batch_that_eats_its_input(pairs, end_id, pad_id):
    for question, answer in pairs:
        question += [*answer, end_id]
    return batch_by_filling([([], question[:-1]) for question, _ in pairs], end_id, pad_id)


def without(batch, name):
    return {key: value for key, value in batch.items() if key != name}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (batch_that_eats_its_input, "changed the lists it was given"),
        (lambda *a: without(batch_by_filling(*a), "attention_mask"), "lacks .*attention_mask"),
        (lambda *a: {**batch_by_filling(*a), "position_ids": torch.zeros(1)}, "'.*position_ids' that does not belong"),
        (
            lambda *a: {**batch_by_filling(*a), "labels": batch_by_filling(*a)["labels"].float()},
            "floating-point numbers",
        ),
        (lambda *a: {name: x.tolist() for name, x in batch_by_filling(*a).items()}, "must be a tensor, not list"),
        (lambda *a: tuple(batch_by_filling(*a).values()), "must be a dictionary"),
        (
            lambda *a: {name: x[:2] for name, x in batch_by_filling(*a).items()},
            r"has shape \(2, 8\), but must have \(3, 8\)",
        ),
        (
            lambda pairs, end, pad: batch_by_filling([(q, a[::-1]) for q, a in pairs], end, pad),
            r"\[1, 4\] is 25 where 23",
        ),
        (lambda pairs, end, pad: batch_by_filling([(a, q) for q, a in pairs], end, pad), "answer stands before"),
    ],
)
def test_other_wrong_batches_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["3.1"](answer)


def test_what_the_chapters_museum_trains_is_named():
    def one_length(pairs, end_id, pad_id):
        longest = max(len(part) for pair in pairs for part in pair)
        padded = [[part + [pad_id] * (longest - len(part)) for part in pair] for pair in pairs]
        ids, labels = (torch.tensor([pair[side] for pair in padded]) for side in (0, 1))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}

    with pytest.raises(CheckFailed, match="two sequences of one length"):
        EXERCISES["3.1"](one_length)


# 3.2 The Fisher ------------------------------------------------------------------------------------------------------


def fisher_by_backward(model, batches):
    was_training = model.training
    model.eval()
    fisher = {name: torch.zeros_like(p) for name, p in model.named_parameters() if p.requires_grad}
    n_examples = 0
    for batch in batches:
        for row in range(len(batch["labels"])):
            example = {name: tensor[row : row + 1] for name, tensor in batch.items()}
            n_targets = (example["labels"][:, 1:] != -100).sum()
            model.zero_grad()
            (model(**example).loss * n_targets).backward()
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    fisher[name] += parameter.grad**2
            n_examples += 1
    model.zero_grad()
    model.train(was_training)
    return {name: tensor / n_examples for name, tensor in fisher.items()}


def fisher_from_log_probabilities(model, batches):
    model.eval()
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    squares = {name: [] for name in parameters}
    for batch in batches:
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        targets = batch["labels"][:, 1:]
        chosen = logits.log_softmax(-1).gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        for likelihood in (chosen * (targets != -100)).sum(dim=1):
            gradients = torch.autograd.grad(likelihood, list(parameters.values()), retain_graph=True)
            for name, gradient in zip(parameters, gradients, strict=True):
                squares[name].append(gradient.double() ** 2)
    return {name: torch.stack(each).mean(dim=0) for name, each in squares.items()}


def fisher_on_a_copy(model, batches):
    return fisher_by_backward(copy.deepcopy(model), batches)


@pytest.mark.parametrize("answer", [fisher_by_backward, fisher_from_log_probabilities, fisher_on_a_copy])
def test_fisher_passes_in_other_styles(answer):
    assert EXERCISES["3.2"](answer) is answer


def spoiled(change, *, base=fisher_by_backward):
    return lambda model, batches: change(base(model, batches))


def fisher_in_training_mode(model, batches):
    model.eval = lambda: model
    return fisher_by_backward(model, batches)


def fisher_while_training(model, batches):
    fisher = fisher_by_backward(model, batches)
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    with torch.no_grad():
        model.mixing.bias += 0.1
    return fisher


def fisher_with_gradients_left(model, batches):
    fisher = fisher_by_backward(model, batches)
    model.eval()
    model(**batches[0]).loss.backward()
    return fisher


def fisher_of_frozen_parameters(model, batches):
    model.eval()
    model(**batches[0]).loss.backward()
    return {name: parameter.grad**2 for name, parameter in model.named_parameters()}


def fisher_without_gradients(model, batches):
    model.eval()
    with torch.no_grad():
        loss = model(**batches[0]).loss
    loss.backward()


def fisher_that_freezes(model, batches):
    fisher = fisher_by_backward(model, batches)
    model.requires_grad_(False)
    return fisher


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (fisher_in_training_mode, r"in training mode.*model\.eval\(\)"),
        (fisher_while_training, "changed the model: mixing.bias"),
        (fisher_with_gradients_left, "left gradients in the model"),
        (fisher_of_frozen_parameters, "A frozen parameter has no gradient"),
        (lambda m, bs: m(bs[0]["input_ids"], bs[0]["attention_mask"]), "pass attention_mask=… and labels=… by name"),
        (fisher_without_gradients, "Gradients are needed here"),
        (fisher_that_freezes, "changed requires_grad"),
        (spoiled(lambda f: {**f, "temperature": torch.tensor(0.0)}), "temperature is listed, but it is frozen"),
        (spoiled(lambda f: {**f, "head.weight": f["embedding.weight"]}), "same tensor: .* lists tied weights once"),
        (spoiled(lambda f: {name: x.half() for name, x in f.items()}), "Accumulate in float32"),
        (spoiled(lambda f: {name: x.requires_grad_() for name, x in f.items()}), "still hangs on a graph"),
        (spoiled(lambda f: {name: -x for name, x in f.items()}), "negative entries"),
        (spoiled(lambda f: {name: x.sum() for name, x in f.items()}), r"has shape \(\), but must have"),
        (spoiled(lambda f: {name: x * torch.nan for name, x in f.items()}), "is NaN"),
        (
            spoiled(lambda f: {name: x / max(y.max() for y in f.values()) for name, x in f.items()}),
            "divided by its largest entry",
        ),
        (spoiled(lambda f: {name: x.clamp(max=0.05) for name, x in f.items()}), "where"),
        (spoiled(lambda f: {name: torch.zeros_like(x) for name, x in f.items()}), "where"),
        (spoiled(lambda f: without(f, "mixing.bias")), "lacks 'mixing.bias'"),
        (spoiled(lambda f: list(f.values())), "must be a dictionary"),
        (lambda model, batches: fisher_by_backward(model, list(batches)[:-1]), "where"),
    ],
)
def test_other_wrong_fishers_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["3.2"](answer)


# 3.3 The penalty -----------------------------------------------------------------------------------------------------


class PenaltyByLoop:
    def __init__(self, model, importance, strength):
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.terms = {name: (weight, copy.deepcopy(parameters[name].data)) for name, weight in importance.items()}
        self.strength = strength

    def value(self, model):
        total = torch.tensor(0.0)
        for name, (weight, anchor) in self.terms.items():
            total = total + (weight * (model.get_parameter(name) - anchor) ** 2).sum()
        return 0.5 * self.strength * total


class PenaltyByDotProduct:
    def __init__(self, model, importance, strength):
        self.names = list(importance)
        self.weights = torch.cat([importance[name].flatten() for name in self.names])
        self.anchor = self.flat(model).detach().clone()
        self.strength = strength

    def flat(self, model):
        return nn.utils.parameters_to_vector([model.get_parameter(name) for name in self.names])

    def value(self, model):
        distance = self.flat(model) - self.anchor
        return self.strength / 2 * torch.dot(self.weights, distance * distance)


@pytest.mark.parametrize("answer", [PenaltyByLoop, PenaltyByDotProduct])
def test_penalty_passes_in_other_styles(answer):
    assert EXERCISES["3.3"](answer) is answer


class SilentPenalty(PenaltyByLoop):
    def __init__(self, model, importance, strength):
        known = {name for name, _ in model.named_parameters()}
        super().__init__(model, {name: weight for name, weight in importance.items() if name in known}, strength)


class SkippingPenalty(PenaltyByLoop):
    """No error for a single name that fits nothing, though one from torch.stack where none fits."""

    def __init__(self, model, importance, strength):
        self.importance, self.strength = importance, strength
        self.anchor = {name: weight.detach().clone() for name, weight in model.named_parameters()}

    def value(self, model):
        terms = [
            (self.importance[name] * (weight - self.anchor[name]).square()).sum()
            for name, weight in model.named_parameters()
            if name in self.importance
        ]
        return self.strength / 2 * torch.stack(terms).sum()


class DetachedPenalty(PenaltyByLoop):
    def value(self, model):
        return super().value(model).detach()


class NumberPenalty(PenaltyByLoop):
    def value(self, model):
        return super().value(model).item()


class ShrinkingPenalty(PenaltyByLoop):
    def value(self, model):
        with torch.no_grad():
            model.get_parameter("mixing.bias").mul_(0.9)
        return super().value(model)


class BackwardPenalty(PenaltyByLoop):
    def value(self, model):
        value = super().value(model)
        value.backward(retain_graph=True)
        return value


class StraightThroughPenalty(PenaltyByLoop):
    def value(self, model):
        return super().value(model).detach() + 0.0 * model.get_parameter("mixing.bias").sum()


class OnePartPenalty(PenaltyByLoop):
    def value(self, model):
        self.terms.pop("mixing.bias", None)
        return super().value(model)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (SilentPenalty, "protects nothing.*no “if name in importance”"),
        (SkippingPenalty, "protects nothing.*no “if name in importance”"),
        (DetachedPenalty, "plain number without a graph"),
        (NumberPenalty, "plain number without a graph"),
        (ShrinkingPenalty, "changed the model: mixing.bias"),
        (BackwardPenalty, "left gradients in the model"),
        (StraightThroughPenalty, "gradient"),
        (OnePartPenalty, "where"),
        (
            lambda model, importance, strength: PenaltyByLoop(model, importance, 3 * strength),
            "3 times what it should be",
        ),
        (lambda model, importance, strength: lambda model: 0.0, "stopped with AttributeError"),
    ],
)
def test_other_wrong_penalties_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["3.3"](answer)
