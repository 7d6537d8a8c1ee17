"""Chapter 4's exercises: correct answers in several styles pass, other wrong answers are told what is wrong."""

import math

import numpy as np
import pytest
import torch

from cfhelpers.course.checks import CheckFailed
from tests.course.checks.exercises import EXERCISES

# 4.1 Perplexity ------------------------------------------------------------------------------------------------------


def perplexity_from_logits(model, batches):
    model.eval()
    surprise = []
    with torch.inference_mode():
        for batch in batches:
            log_probabilities = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits.log_softmax(-1)
            for row, labels in zip(log_probabilities, batch["labels"], strict=True):
                for position in range(1, len(labels)):
                    if labels[position] != -100:
                        surprise.append(-float(row[position - 1, labels[position]]))
    return math.exp(sum(surprise) / len(surprise))


def perplexity_as_a_tensor(model, batches):
    with torch.no_grad():
        counts = torch.tensor([(b["labels"][:, 1:] != -100).sum() for b in batches], dtype=torch.float64)
        losses = torch.stack([model.eval()(**b).loss for b in batches]).double()
    return torch.exp((losses * counts).sum() / counts.sum())


@pytest.mark.parametrize("answer", [perplexity_from_logits, perplexity_as_a_tensor])
def test_perplexity_passes_in_other_styles(answer):
    assert EXERCISES["4.1"](answer) is answer


def in_training_mode(model, batches):
    counts = [int((b["labels"][:, 1:] != -100).sum()) for b in batches]
    with torch.no_grad():
        nats = sum(float(model(**b).loss) * n for b, n in zip(batches, counts, strict=True))
    return math.exp(nats / sum(counts))


def with_gradients_left(model, batches):
    value = perplexity_as_a_tensor(model, batches)
    model(**batches[0]).loss.backward()
    return value


def after_a_step(model, batches):
    with torch.no_grad():
        next(iter(model.parameters())).add_(0.1)
    return perplexity_as_a_tensor(model, batches)


def scaled(factor, plus=0.0, of=perplexity_as_a_tensor):
    return lambda *inputs: factor * of(*inputs) + plus


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (in_training_mode, "in training mode"),
        (with_gradients_left, "left gradients"),
        (after_a_step, "changed the model"),
        (lambda m, b: perplexity_as_a_tensor(m, b[:1]), "perplexity of the first batch"),
        (lambda m, b: perplexity_as_a_tensor(m, b[1:]), "first batch is left out"),
        (lambda m, b: [perplexity_as_a_tensor(m, [each]) for each in b], "one number, but it has shape"),
        (lambda m, b: {"perplexity": 3.0}, "not a value of type dict"),
        (lambda m, b: "3.2", "perplexity is 3.2 where"),
        (lambda m, b: math.nan, "NaN"),
        (lambda m, b: math.inf, "where"),
        (lambda m, b: 1.0, "where"),
        (lambda m, b: m(**b[0])["loss"] * "x", "stopped with"),
        (lambda m, b: b[0]["missing"], "KeyError"),
        (scaled(2), "times"),
        (scaled(1, 0.5), "times"),
        (scaled(-1), "times"),
        (scaled(1.02), "times"),
        (lambda m, b: math.sqrt(perplexity_as_a_tensor(m, b)), "where"),
        (lambda m, b: math.log2(perplexity_as_a_tensor(m, b)), "where"),
        (lambda m, b: math.exp(perplexity_as_a_tensor(m, b)), "where"),
        (lambda m, b: np.median([perplexity_as_a_tensor(m, [each]) for each in b]), "where|last batch"),
        (lambda m, b: max(perplexity_as_a_tensor(m, [each]) for each in b), "where|last batch"),
        (lambda m, b: math.prod(float(perplexity_as_a_tensor(m, [each])) for each in b), "not divided"),
    ],
)
def test_other_wrong_perplexities_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["4.1"](answer)


# 4.2 The path integral -----------------------------------------------------------------------------------------------


def path_in_one_line(weights, gradients, damping):
    path, slopes = torch.stack(weights), torch.stack(gradients)
    return torch.relu(-(slopes * path.diff(dim=0)).sum(0)) / ((path[-1] - path[0]) ** 2 + damping)


def path_weight_by_weight(weights, gradients, damping):
    found = []
    for index in range(len(weights[0])):
        credit = sum(
            float(gradients[t][index] * (weights[t][index] - weights[t + 1][index])) for t in range(len(gradients))
        )
        found.append(max(credit, 0.0) / (float(weights[-1][index] - weights[0][index]) ** 2 + damping))
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("answer", [path_in_one_line, path_weight_by_weight])
def test_the_path_integral_passes_in_other_styles(answer):
    assert EXERCISES["4.2"](answer) is answer


def path_in_place(weights, gradients, damping):
    for gradient in gradients:
        gradient.neg_()
    return -path_in_one_line(weights, gradients, damping)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (path_in_place, "changed the weights or gradients"),
        (lambda w, g, d: path_in_one_line(w, g, d).tolist(), "must be a tensor, not list"),
        (lambda w, g, d: float(path_in_one_line(w, g, d).sum()), "must be a tensor, not float"),
        (lambda w, g, d: path_in_one_line(w, g, d).sum(), r"has shape \(\)"),
        (lambda w, g, d: path_in_one_line(w, g, d)[:2], r"has shape \(2,\)"),
        (lambda w, g, d: path_in_one_line(w, g, 1e-2), "where|times"),
        (lambda w, g, d: path_in_one_line(w, g, d) / 2, "factor ½ too many"),
        (lambda w, g, d: path_in_one_line(w, g, d) * 2, "2 times what it should be"),
        (lambda w, g, d: path_in_one_line(w, g, d) + 0.1, "where"),
        (lambda w, g, d: path_in_one_line(w[::-1], g[::-1], d), "the sign is wrong"),
        (lambda w, g, d: path_in_one_line(w, g[::-1], d), "where"),
        (lambda w, g, d: path_in_one_line(w, g, d).sqrt(), "where"),
        (lambda w, g, d: path_in_one_line(w, g, d).square(), "where"),
        (lambda w, g, d: path_in_one_line(w, g, d).clamp(max=1.0), "where"),
        (lambda w, g, d: torch.zeros(4), "where"),
        (lambda w, g, d: torch.ones(4), "where"),
        (lambda w, g, d: torch.full((4,), torch.nan), "NaN"),
        (lambda w, g, d: w[-1] - w[0], "where"),
        (lambda w, g, d: g[0].square(), "where"),
        (lambda w, g, d: path_in_one_line(w, g), "TypeError"),
        (lambda w, g, d: path_in_one_line(w, [each / each.norm() for each in g], d), "where"),
    ],
)
def test_other_wrong_path_integrals_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["4.2"](answer)


# 4.3 A running importance --------------------------------------------------------------------------------------------


def online_by_powers(fishers, decay):
    names = dict.fromkeys(name for fisher in fishers for name in fisher)
    last = len(fishers) - 1
    return {
        name: sum(decay ** (last - task) * fisher[name] for task, fisher in enumerate(fishers) if name in fisher)
        for name in names
    }


def online_recursively(fishers, decay):
    *earlier, newest = fishers
    old = online_recursively(earlier, decay) if earlier else {}
    return {
        name: torch.add(
            newest.get(name, torch.zeros(())), decay * old.get(name, torch.zeros(()))
        )
        for name in [*old, *(name for name in newest if name not in old)]
    }  # fmt: skip


@pytest.mark.parametrize("answer", [online_by_powers, online_recursively])
def test_the_running_importance_passes_in_other_styles(answer):
    assert EXERCISES["4.3"](answer) is answer


def online_in_place(fishers, decay):
    total = fishers[0]
    for fisher in fishers[1:]:
        for name in {*total, *fisher}:
            total[name] = decay * total.get(name, 0) + fisher.get(name, 0)
    return total


def online_written_into(fishers, decay):
    total = dict(fishers[0])
    for fisher in fishers[1:]:
        for name in fisher:
            total[name] = total[name].mul_(decay).add_(fisher[name]) if name in total else fisher[name]
    return total


def changed(change):
    return lambda fishers, decay: {name: change(tensor) for name, tensor in online_by_powers(fishers, decay).items()}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (online_in_place, "changed the Fishers"),
        (online_written_into, "changed the Fishers"),
        (lambda f, d: list(online_by_powers(f, d).values()), "must be a dictionary"),
        (lambda f, d: {name: t.tolist() for name, t in online_by_powers(f, d).items()}, "must be a tensor, not list"),
        (
            lambda f, d: {name: online_by_powers(f, d)[name] for name in f[-1]},
            "'head one' is missing: task 1 of 2",
        ),
        (
            lambda f, d: {name: online_by_powers(f, d)[name] for name in f[0]},
            "'head two' is missing: task 2 of 2",
        ),
        (lambda f, d: online_by_powers(f, d) | {"bias": torch.zeros(1)}, "does not belong"),
        (changed(lambda t: t.sum()), r"has shape \(\)"),
        (changed(lambda t: t.T), r"has shape \(3, 2\)"),
        (changed(lambda t: 3 * t), "3 times what it should be"),
        (changed(lambda t: t / t.max()), "where"),
        (changed(lambda t: t.sqrt()), "where"),
        (changed(lambda t: t.square()), "where"),
        (changed(lambda t: t + 1), "where"),
        (changed(lambda t: t * torch.nan), "NaN"),
        (changed(torch.zeros_like), "where"),
        (lambda f, d: online_by_powers(f, d / 2), "where"),
        (lambda f, d: online_by_powers(f, 1 / d), "divided by γ"),
        (lambda f, d: online_by_powers(f[::-1], d), "wrong way|where"),
        (lambda f, d: online_by_powers(f, d**2), "twice the number of tasks since"),
        (lambda f, d: f[5], "IndexError"),
        (lambda f, d: sum(f), "TypeError"),
    ],
)
def test_other_wrong_running_importances_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["4.3"](answer)


# 4.4 One penalty per step --------------------------------------------------------------------------------------------


def step_as_one_loss(model, micro_batches, penalty):
    for parameter in model.parameters():
        parameter.grad = None
    mean = torch.stack([model(**batch).loss for batch in micro_batches]).mean()
    (mean + penalty.value(model)).backward()


def step_with_shares_of_the_penalty(model, micro_batches, penalty):
    model.zero_grad(set_to_none=False)
    for batch in micro_batches:
        ((model(**batch).loss + penalty.value(model)) / len(micro_batches)).backward()


def step_as_one_batch_and_the_gradient_in_place(model, micro_batches, penalty):
    model.zero_grad()
    whole = {name: torch.cat([batch[name] for batch in micro_batches]) for name in micro_batches[0]}
    model(**whole).loss.backward()
    penalty.add_gradient_(model)


@pytest.mark.parametrize(
    "answer", [step_as_one_loss, step_with_shares_of_the_penalty, step_as_one_batch_and_the_gradient_in_place]
)
def test_one_penalty_per_step_passes_in_other_styles(answer):
    assert EXERCISES["4.4"](answer) is answer


def steps(*parts, zero=True, after=None):
    """Backward through ``parts`` of (loss per micro-batch, penalty), and something more."""

    def answer(model, micro_batches, penalty):
        if zero:
            model.zero_grad()
        losses = [model(**batch).loss for batch in micro_batches]
        for part in parts:
            part(losses, penalty.value(model), micro_batches).backward()
        if after is not None:
            after(model)

    return answer


def mean_and_penalty(losses, penalty, batches):
    return sum(losses) / len(losses) + penalty


def penalty_in_the_loop(model, micro_batches, penalty):
    model.zero_grad()
    for batch in micro_batches:
        (model(**batch).loss / len(micro_batches) + penalty.value(model)).backward()


def zeroed_in_the_loop(model, micro_batches, penalty):
    for batch in micro_batches:
        model.zero_grad()
        (model(**batch).loss / len(micro_batches)).backward()
    penalty.value(model).backward()


def clipped_before_the_penalty(model, micro_batches, penalty):
    step_as_one_loss(model, micro_batches, type(penalty)(penalty.importance, model, 0.0))
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
    penalty.value(model).backward()


def with_an_optimizer(model, micro_batches, penalty):
    step_as_one_loss(model, micro_batches, penalty)
    torch.optim.SGD(model.parameters(), lr=0.1).step()


def for_each_gradient(change):
    def after(model):
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad = change(parameter.grad)

    return steps(mean_and_penalty, after=after)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (penalty_in_the_loop, "added in every round of the loop"),
        (zeroed_in_the_loop, "only the last micro-batch"),
        (clipped_before_the_penalty, "where"),
        (with_an_optimizer, "changed embedding.weight"),
        (lambda model, batches, penalty: None, "left every .grad as it was|no gradient flows back"),
        (lambda model, batches, penalty: model.zero_grad(), "has no gradient"),
        (lambda model, batches, penalty: penalty.value(model), "no gradient flows back"),
        (lambda model, batches, penalty: batches[7], "IndexError"),
        (lambda model, batches, penalty: model(batches[0]), "TypeError|AttributeError"),
        (lambda model, batches, penalty: model(**batches[0]).loss.detach().backward(), "Gradients are needed"),
        (steps(mean_and_penalty, zero=False), "step before"),
        (steps(mean_and_penalty, after=lambda model: model.zero_grad()), "has no gradient"),
        (steps(mean_and_penalty, after=lambda model: model.requires_grad_(False)), "changed requires_grad"),
        (steps(lambda losses, penalty, batches: sum(losses) + penalty), "too weak beside them"),
        (
            steps(lambda losses, penalty, batches: (sum(losses) + penalty) / len(losses)),
            "in the end the penalty is divided",
        ),
        (steps(lambda losses, penalty, batches: torch.stack(losses).square().mean() + penalty), "where"),
        (steps(lambda losses, penalty, batches: sum(losses) / len(losses) * penalty), "where"),
        (steps(lambda losses, penalty, batches: torch.stack(losses).prod() + penalty), "where"),
        (steps(lambda losses, penalty, batches: losses[-1] + penalty), "only the last micro-batch"),
        (steps(lambda losses, penalty, batches: sum(losses) / 12 + penalty), "where"),
        (steps(lambda losses, penalty, batches: sum(losses) / 3 + penalty.sqrt()), "where"),
        (for_each_gradient(lambda gradient: 2 * gradient), "2 times what it should be"),
        (for_each_gradient(lambda gradient: gradient.sign()), "where"),
        (for_each_gradient(lambda gradient: gradient / gradient.norm()), "where"),
        (for_each_gradient(lambda gradient: gradient * torch.nan), "NaN"),
        (for_each_gradient(torch.zeros_like), "where"),
    ],
)
def test_other_wrong_gradients_of_a_step_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["4.4"](answer)
