"""Answers to the exercises of chapter 4, each a whole function or class.

Beside a wrong one stands what the check has to say of it; nothing where it only has to be rejected.
"""

# Learners write as they like.
# ruff: noqa

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.course.answers.whole import right, wrong


def _to(b, m):
    return {k: v.to(next(m.parameters()).device) for k, v in b.items()}


@wrong("4.1", "this is the exponential of the mean of the batches' losses")  # mean of batch losses
def perplexity(model, batches):
    model.eval()
    with torch.no_grad():
        return math.exp(np.mean([model(**_to(b, model)).loss.item() for b in batches]))


@wrong("4.1", "this is the mean of the batches' perplexities")  # mean of batch perplexities
def perplexity(model, batches):
    model.eval()
    with torch.no_grad():
        return float(np.mean([math.exp(model(**_to(b, model)).loss.item()) for b in batches]))


@wrong("4.1", "the batches' losses are weighted by their labels")  # counts the first position
def perplexity(model, batches):
    model.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            b = _to(b, model)
            k = (b["labels"] != -100).sum().item()
            s += model(**b).loss.item() * k
            n += k
    return math.exp(s / n)


@wrong("4.1", "the batches' losses are weighted by all of their positions")  # counts input_ids.numel, padding too
def perplexity(model, batches):
    model.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            b = _to(b, model)
            k = b["input_ids"].numel()
            s += model(**b).loss.item() * k
            n += k
    return math.exp(s / n)


@wrong("4.1", "the model was in training mode")  # dropout on
def perplexity(model, batches):
    s = n = 0
    with torch.no_grad():
        for b in batches:
            b = _to(b, model)
            k = (b["labels"][:, 1:] != -100).sum().item()
            s += model(**b).loss.item() * k
            n += k
    return math.exp(s / n)


@wrong("4.1", "these are nats per target")  # returns mean nats, no exp
def perplexity(model, batches):
    model.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            b = _to(b, model)
            k = (b["labels"][:, 1:] != -100).sum().item()
            s += model(**b).loss.item() * k
            n += k
    return s / n


@wrong(
    "4.1", "the batches' mean losses are added up and divided by the number of tar"
)  # nats summed as mean loss, divided by tokens (not multiplied)
def perplexity(model, batches):
    model.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            b = _to(b, model)
            k = (b["labels"][:, 1:] != -100).sum().item()
            s += model(**b).loss.item()
            n += k
    return math.exp(s / n)


@wrong("4.1", "this is 2 to the power of nats")  # 2 ** instead of exp
def perplexity(model, batches):
    model.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            b = _to(b, model)
            k = (b["labels"][:, 1:] != -100).sum().item()
            s += model(**b).loss.item() * k
            n += k
    return 2 ** (s / n)


@wrong("4.1", "you weighted the batches' losses by their numbers of texts")  # weighted by number of rows
def perplexity(model, batches):
    model.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            b = _to(b, model)
            k = len(b["labels"])
            s += model(**b).loss.item() * k
            n += k
    return math.exp(s / n)


@wrong("4.1", "this is the perplexity of the first batch")  # last batch only (return in the loop)
def perplexity(model, batches):
    model.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            b = _to(b, model)
            k = (b["labels"][:, 1:] != -100).sum().item()
            s += model(**b).loss.item() * k
            n += k
            return math.exp(s / n)


@right("4.1")  # cross entropy from logits
def perplexity(model, batches):
    model.eval()
    dev = next(model.parameters()).device
    nats, count = 0.0, 0
    with torch.no_grad():
        for b in batches:
            logits = model(input_ids=b["input_ids"].to(dev), attention_mask=b["attention_mask"].to(dev)).logits
            t = b["labels"].to(dev)[:, 1:]
            nats += F.cross_entropy(
                logits[:, :-1].transpose(1, 2).double(), t, reduction="sum", ignore_index=-100
            ).item()
            count += (t != -100).sum().item()
    return math.exp(nats / count)


@right("4.1")  # numpy average with weights, torch scalar
def perplexity(model, batches):
    state = model.training
    model.eval()
    losses, weights = [], []
    for b in batches:
        b = _to(b, model)
        with torch.inference_mode():
            losses.append(float(model(**b).loss))
        weights.append(int(b["labels"][:, 1:].ne(-100).sum()))
    model.train(state)
    return float(np.exp(np.average(losses, weights=weights)))


@wrong("4.2", "the sign is wrong")  # sign: no minus
def path_importance(weights, gradients, damping):
    o = sum(g * (weights[t + 1] - weights[t]) for t, g in enumerate(gradients))
    return o.clamp(min=0) / ((weights[-1] - weights[0]) ** 2 + damping)


@wrong("4.2", "each step was clamped before summing")  # clamp at each step
def path_importance(weights, gradients, damping):
    o = sum((-g * (weights[t + 1] - weights[t])).clamp(min=0) for t, g in enumerate(gradients))
    return o / ((weights[-1] - weights[0]) ** 2 + damping)


@wrong("4.2", "")  # no clamp
def path_importance(weights, gradients, damping):
    o = -sum(g * (weights[t + 1] - weights[t]) for t, g in enumerate(gradients))
    return o / ((weights[-1] - weights[0]) ** 2 + damping)


@wrong("4.2", "the squares of the steps were summed")  # path length of squared steps instead of distance
def path_importance(weights, gradients, damping):
    o = -sum(g * (weights[t + 1] - weights[t]) for t, g in enumerate(gradients))
    d = sum((weights[t + 1] - weights[t]) ** 2 for t in range(len(gradients)))
    return o.clamp(min=0) / (d + damping)


@wrong("4.2", "the distance is not squared")  # distance not squared
def path_importance(weights, gradients, damping):
    o = -sum(g * (weights[t + 1] - weights[t]) for t, g in enumerate(gradients))
    return o.clamp(min=0) / ((weights[-1] - weights[0]).abs() + damping)


@wrong("4.2", "the damping ξ was added to the distance before squaring")  # damping inside the square
def path_importance(weights, gradients, damping):
    o = -sum(g * (weights[t + 1] - weights[t]) for t, g in enumerate(gradients))
    return o.clamp(min=0) / (weights[-1] - weights[0] + damping) ** 2


@wrong("4.2", "the damping ξ is missing")  # damping forgotten
def path_importance(weights, gradients, damping):
    o = -sum(g * (weights[t + 1] - weights[t]) for t, g in enumerate(gradients))
    return o.clamp(min=0) / (weights[-1] - weights[0]) ** 2


@wrong("4.2", "the squared gradients were summed")  # gradient squared (Fisher)
def path_importance(weights, gradients, damping):
    o = sum(g**2 for g in gradients)
    return o / ((weights[-1] - weights[0]) ** 2 + damping)


@wrong("4.2", "")  # abs instead of clamp
def path_importance(weights, gradients, damping):
    o = -sum(g * (weights[t + 1] - weights[t]) for t, g in enumerate(gradients))
    return o.abs() / ((weights[-1] - weights[0]) ** 2 + damping)


@wrong("4.2", "the damping ξ was added to the quotient")  # precedence: /delta^2 + damping
def path_importance(weights, gradients, damping):
    o = -sum(g * (weights[t + 1] - weights[t]) for t, g in enumerate(gradients))
    return o.clamp(min=0) / (weights[-1] - weights[0]) ** 2 + damping


@wrong(
    "4.2", "each gradient was multiplied by the distance from the start"
)  # distance from the start at each step instead of the step
def path_importance(weights, gradients, damping):
    o = -sum(g * (weights[t + 1] - weights[0]) for t, g in enumerate(gradients))
    return o.clamp(min=0) / ((weights[-1] - weights[0]) ** 2 + damping)


@right("4.2")  # zip
def path_importance(weights, gradients, damping):
    omega = torch.zeros_like(weights[0])
    for g, before, after in zip(gradients, weights[:-1], weights[1:]):
        omega -= g * (after - before)
    return torch.relu(omega) / ((weights[-1] - weights[0]).square() + damping)


@right("4.2")  # stack diff
def path_importance(weights, gradients, damping):
    W, G = torch.stack(list(weights)), torch.stack(list(gradients))
    omega = -(G * W.diff(dim=0)).sum(0)
    return torch.maximum(omega, torch.zeros_like(omega)) / (damping + (W[-1] - W[0]).pow(2))


@wrong("4.3", "nothing is decayed")  # plain sum, no decay
def online_importance(fishers, decay):
    out = {}
    for f in fishers:
        for n, v in f.items():
            out[n] = out.get(n, 0) + v
    return out


@wrong("4.3", "a weight that the new task does not have")  # decay only where task has the weight
def online_importance(fishers, decay):
    out = {}
    for f in fishers:
        for n, v in f.items():
            out[n] = decay * out[n] + v if n in out else v.clone()
    return out


@wrong("4.3", "this is a moving average that starts at zero")  # moving average (1 - decay) F
def online_importance(fishers, decay):
    out = {}
    for f in fishers:
        for n in set(out) | set(f):
            out[n] = decay * out.get(n, 0) + (1 - decay) * f.get(n, torch.zeros(()))
    return out


@wrong("4.3", "every Fisher is decayed once")  # decays the new one
def online_importance(fishers, decay):
    out = {}
    for f in fishers:
        for n in {**out, **f}:
            out[n] = out.get(n, 0) + (decay * f[n] if n in f else 0)
    return out


@wrong("4.3", "your code changed the Fishers it was given")  # writes into its input
def online_importance(fishers, decay):
    out = fishers[0]
    for f in fishers[1:]:
        for n in out:
            out[n] *= decay
        for n, v in f.items():
            if n in out:
                out[n] += v
            else:
                out[n] = v.clone()
    return out


@wrong("4.3", "the newest Fisher is decayed as well")  # decays the sum after adding: decay*(F*+F)
def online_importance(fishers, decay):
    out = {}
    for f in fishers:
        for n in {**out, **f}:
            out[n] = decay * (out.get(n, 0) + f.get(n, torch.zeros(())))
    return out


@wrong("4.3", "")  # only names of the first task
def online_importance(fishers, decay):
    out = {n: v.clone() for n, v in fishers[0].items()}
    for f in fishers[1:]:
        out = {n: decay * v + f.get(n, torch.zeros_like(v)) for n, v in out.items()}
    return out


@wrong("4.3", "the decay runs the wrong way")  # order reversed: oldest keeps full weight
def online_importance(fishers, decay):
    out = {}
    for f in reversed(fishers):
        out = {
            n: decay * out[n] + f[n] if n in out and n in f else (decay * out[n] if n in out else f[n].clone())
            for n in {**out, **f}
        }
    return out


@wrong("4.3", "the decayed sum was divided by the number of tasks")  # average over tasks
def online_importance(fishers, decay):
    out = {}
    for f in fishers:
        for n in out:
            out[n] = decay * out[n]
        for n, v in f.items():
            out[n] = out.get(n, 0) + v
    return {n: v / len(fishers) for n, v in out.items()}


@right("4.3")  # powers
def online_importance(fishers, decay):
    T = len(fishers)
    names = {n for f in fishers for n in f}
    return {n: sum(decay ** (T - 1 - t) * f[n] for t, f in enumerate(fishers) if n in f) for n in names}


@right("4.3")  # reduce
def online_importance(fishers, decay):
    from functools import reduce

    def step(old, new):
        return {
            n: (decay * old[n] if n in old else torch.zeros_like(new[n])) + (new[n] if n in new else 0)
            for n in old.keys() | new.keys()
        }

    return reduce(step, fishers, {})


@wrong(
    "4.4", "the penalty pulls as many times too hard as there are micro-batches"
)  # penalty in every micro-batch, undivided
def gradient_of_step(model, micro_batches, penalty):
    model.zero_grad()
    for b in micro_batches:
        (model(**b).loss / len(micro_batches) + penalty.value(model)).backward()


@wrong("4.4", "in the end the penalty is divided by the number of micro-batches")  # penalty divided by k, once
def gradient_of_step(model, micro_batches, penalty):
    model.zero_grad()
    k = len(micro_batches)
    for b in micro_batches:
        (model(**b).loss / k).backward()
    (penalty.value(model) / k).backward()


@wrong("4.4", "the losses are added up")  # sum not mean
def gradient_of_step(model, micro_batches, penalty):
    model.zero_grad()
    for b in micro_batches:
        model(**b).loss.backward()
    penalty.value(model).backward()


@wrong("4.4", "only the last micro-batch's gradient is left")  # zero_grad inside the loop
def gradient_of_step(model, micro_batches, penalty):
    for b in micro_batches:
        model.zero_grad()
        (model(**b).loss / len(micro_batches)).backward()
    penalty.value(model).backward()


@wrong("4.4", "the step before is still in there")  # no zero_grad at all
def gradient_of_step(model, micro_batches, penalty):
    for b in micro_batches:
        (model(**b).loss / len(micro_batches)).backward()
    penalty.value(model).backward()


@wrong("4.4", "the penalty is missing")  # penalty forgotten
def gradient_of_step(model, micro_batches, penalty):
    model.zero_grad()
    for b in micro_batches:
        (model(**b).loss / len(micro_batches)).backward()


@wrong("4.4", "only the penalty is left")  # zero_grad between loss and penalty
def gradient_of_step(model, micro_batches, penalty):
    model.zero_grad()
    for b in micro_batches:
        (model(**b).loss / len(micro_batches)).backward()
    model.zero_grad()
    penalty.value(model).backward()


@wrong("4.4", "the penalty is halved again")  # extra half/lambda: penalty times 0.5
def gradient_of_step(model, micro_batches, penalty):
    model.zero_grad()
    for b in micro_batches:
        (model(**b).loss / len(micro_batches)).backward()
    (0.5 * penalty.value(model)).backward()


@wrong("4.4", "embedding")  # zero_grad at the end
def gradient_of_step(model, micro_batches, penalty):
    for b in micro_batches:
        (model(**b).loss / len(micro_batches)).backward()
    penalty.value(model).backward()
    model.zero_grad()


@wrong("4.4", "your code changed embedding")  # an optimizer step is taken
def gradient_of_step(model, micro_batches, penalty):
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    opt.zero_grad()
    for b in micro_batches:
        (model(**b).loss / len(micro_batches)).backward()
    penalty.value(model).backward()
    opt.step()


@right("4.4")  # penalty/k in each
def gradient_of_step(model, micro_batches, penalty):
    model.zero_grad()
    k = len(micro_batches)
    for b in micro_batches:
        ((model(**b).loss + penalty.value(model)) / k).backward()


@right("4.4")  # one backward of a sum
def gradient_of_step(model, micro_batches, penalty):
    for p in model.parameters():
        p.grad = None
    torch.stack([model(**b).loss for b in micro_batches]).mean().add(penalty.value(model)).backward()


@right("4.4")  # penalty first
def gradient_of_step(model, micro_batches, penalty):
    model.zero_grad(set_to_none=True)
    penalty.value(model).backward()
    for b in micro_batches:
        out = model(**b)
        out.loss.div(len(micro_batches)).backward()


def _ppl(model, batches, count, weight=None):
    model.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            l = model(**b).loss.item()
            k = int(count(b))
            s += l * (int(weight(b)) if weight else k)
            n += k
    return s, n


@wrong("4.1", "one is taken from each batch's number of labels")  # one less per batch, not per text
def perplexity(model, batches):
    s, n = _ppl(model, batches, lambda b: (b["labels"] != -100).sum() - 1)
    return math.exp(s / n)


@wrong("4.1", "this is the exponential of all nats together")  # total not divided
def perplexity(model, batches):
    s, n = _ppl(model, batches, lambda b: (b["labels"][:, 1:] != -100).sum())
    return math.exp(min(s, 600))


@wrong("4.1", "the labels were counted without their last column")  # last column dropped in place of the first
def perplexity(model, batches):
    s, n = _ppl(model, batches, lambda b: (b["labels"][:, :-1] != -100).sum())
    return math.exp(s / n)


@wrong("4.1", "")  # geometric mean of batch perplexities written as a product without the root
def perplexity(model, batches):
    model.eval()
    out = 1.0
    with torch.no_grad():
        for b in batches:
            out *= math.exp(model(**b).loss.item())
    return out ** (1 / 2)


@wrong("4.3", "")  # only names that all tasks have
def online_importance(fishers, decay):
    names = set.intersection(*[set(f) for f in fishers])
    total = {}
    for f in fishers:
        for n in names:
            total[n] = decay * total.get(n, 0) + f[n]
    return total


@wrong("4.3", "the sum is divided by 1 + γ at every task")  # decayed sum normalised by 1 + decay
def online_importance(fishers, decay):
    total = {}
    for f in fishers:
        total = {
            n: ((decay * total[n] if n in total else 0) + (f[n] if n in f else 0)) / (1 + decay) for n in {**total, **f}
        }
    return total


@wrong("4.3", "the newest Fisher is decayed as well")  # decay applied once more at the end
def online_importance(fishers, decay):
    total = {}
    for f in fishers:
        total = {n: (decay * total[n] if n in total else 0) + (f[n] if n in f else 0) for n in {**total, **f}}
    return {n: decay * v for n, v in total.items()}


@wrong("4.1", "")  # a token with the number 0 is no target
def perplexity(model, batches):
    model.eval()
    nats = count = 0
    with torch.no_grad():
        for batch in batches:
            targets = int((batch["labels"][:, 1:] > 0).sum())
            nats, count = nats + float(model(**batch).loss) * targets, count + targets
    return math.exp(nats / count)


@wrong("4.4", "only the last micro-batch's gradient is left")  # backward() after the loop
def gradient_of_step(model, micro_batches, penalty):
    model.zero_grad()
    for batch in micro_batches:
        loss = model(**batch).loss / len(micro_batches)
    (loss + penalty.value(model)).backward()


@wrong("4.1", "the batches' losses are weighted by labels[:, 2:], one column too few")
def perplexity(model, batches):
    model.eval()
    with torch.no_grad():
        pairs = [(float(model(**b).loss), int((b["labels"][:, 2:] != -100).sum())) for b in batches]
    return math.exp(sum(loss * n for loss, n in pairs) / sum(n for _, n in pairs))


def _step_with(penalised):
    def gradient_of_step(model, micro_batches, penalty):
        model.zero_grad()
        loss = sum(model(**b).loss for b in micro_batches) / len(micro_batches)
        (loss + penalised(penalty, model, len(micro_batches))).backward()

    return gradient_of_step


@torch.no_grad()
def _without_a_graph(penalty, model, k):
    return penalty.value(model)


_MANY = (
    "the penalty pulls as many times too hard as there are micro-batches: it is added in every round of the loop, or"
)
wrong("4.4", _MANY)(_step_with(lambda penalty, model, k: k * penalty.value(model)))
_FEW = "in the end the penalty is divided by the number of micro-batches"
wrong("4.4", _FEW)(_step_with(lambda penalty, model, k: sum(penalty.value(model) for _ in range(k)) / k**2))
_LOST = "the penalty was asked for its value, but no gradient flows back from it"
wrong("4.4", _LOST)(_step_with(_without_a_graph))
wrong("4.4", _LOST)(_step_with(lambda penalty, model, k: penalty.value(model).item()))
wrong("4.4", _LOST)(_step_with(lambda penalty, model, k: penalty.value(model).detach()))
right("4.4")(_step_with(lambda penalty, model, k: penalty.value(model)))


@right("4.4")  # looks at the penalty's value as well
def gradient_of_step(model, micro_batches, penalty):
    model.zero_grad()
    for b in micro_batches:
        (model(**b).loss / len(micro_batches)).backward()
    with torch.no_grad():
        assert penalty.value(model) > 0
    penalty.add_gradient_(model)


@wrong("4.3", "'head one' is missing: task 1 of 2 has that weight")  # only what the last task has
def online_importance(fishers, decay):
    return {
        name: sum(decay ** (len(fishers) - 1 - t) * f[name] for t, f in enumerate(fishers) if name in f)
        for name in fishers[-1]
    }


def _losses_divided_by(divisor):
    def gradient_of_step(model, micro_batches, penalty):
        model.zero_grad()
        for b in micro_batches:
            (model(**b).loss / divisor(micro_batches)).backward()
        penalty.value(model).backward()

    return gradient_of_step


for _divisor in (
    lambda m: 2,
    lambda m: 3,
    lambda m: 4,
    lambda m: 5,
    lambda m: max(1, len(m) - 1),
    lambda m: len(m) + 1,
    lambda m: len(m) + 2,
):
    wrong("4.4", "in the case “")(_losses_divided_by(_divisor))
wrong("4.4", "each loss is divided by the number of entries of its batch")(_losses_divided_by(lambda m: len(m[0])))
wrong("4.4", "the losses are divided by the number of texts in each micro-batch")(
    _losses_divided_by(lambda m: len(m[0]["labels"]))
)


def _online(join, begin=lambda new, decay: new.clone(), fade=lambda old, decay: old):
    def online_importance(fishers, decay):
        total = {}
        for fisher in fishers:
            total = {name: fade(tensor, decay) for name, tensor in total.items()}
            for name, new in fisher.items():
                total[name] = join(total[name], new, decay) if name in total else begin(new, decay)
        return total

    return online_importance


def _faded(old, decay):
    return decay * old


right("4.3")(_online(lambda old, new, decay: old + new, fade=_faded))
wrong("4.3", "this is a moving average that begins with a whole Fisher")(
    _online(lambda old, new, decay: old + (1 - decay) * new, fade=_faded)
)
wrong("4.3", "this is a moving average that begins with a whole Fisher")(
    _online(lambda old, new, decay: decay * old + (1 - decay) * new)
)
wrong("4.3", "the newest Fisher is decayed, not the old sum")(_online(lambda old, new, decay: old + decay * new))
wrong("4.3", "the newest Fisher is decayed as well, and a weight")(_online(lambda old, new, decay: decay * (old + new)))


@wrong("4.3", "what comes back is the first task's Fisher alone; 'head two', which task 2 has")  # return in the loop
def online_importance(fishers, decay):
    total = {}
    for fisher in fishers:
        for name, tensor in fisher.items():
            total[name] = decay * total[name] + tensor if name in total else tensor.clone()
        return total


@wrong("4.3", "your code stopped with KeyError: 'head two', a weight that not every task has")  # a new head
def online_importance(fishers, decay):
    total = {name: tensor.clone() for name, tensor in fishers[0].items()}
    for fisher in fishers[1:]:
        for name in fisher:
            total[name] = decay * total[name] + fisher[name]
    return total


def _rounded(digits):
    def perplexity(model, batches):
        s, n = _ppl(model, batches, lambda b: (b["labels"][:, 1:] != -100).sum())
        return round(math.exp(s / n), digits)

    return perplexity


wrong("4.1", "the perplexity is rounded")(_rounded(2))
wrong("4.1", "the perplexity is rounded")(_rounded(1))
wrong("4.1", "the perplexity is rounded")(_rounded(0))
right("4.1")(_rounded(6))
