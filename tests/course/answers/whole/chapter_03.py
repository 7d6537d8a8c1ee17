"""Answers to the exercises of chapter 3, each a whole function or class.

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


def _pad(rows, value, T):
    return torch.tensor([row + [value] * (T - len(row)) for row in rows])


@wrong("3.1", "the answer's end-of-sequence token is not a target")  # labels masked where id == pad: end is lost
def dialogue_batch(pairs, end_id, pad_id):
    rows = [q + a + [end_id] for q, a in pairs]
    T = max(map(len, rows))
    ids = _pad(rows, pad_id, T)
    mask = _pad([[1] * len(x) for x in rows], 0, T)
    labels = ids.clone()
    labels[labels == pad_id] = -100
    for i, (q, a) in enumerate(pairs):
        labels[i, : len(q)] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@wrong("3.1", "the question's tokens are targets too")  # question counts too
def dialogue_batch(pairs, end_id, pad_id):
    rows = [q + a + [end_id] for q, a in pairs]
    T = max(map(len, rows))
    return {
        "input_ids": _pad(rows, pad_id, T),
        "attention_mask": _pad([[1] * len(x) for x in rows], 0, T),
        "labels": _pad(rows, -100, T),
    }


@wrong("3.1", "the end-of-sequence token of every answer is missing")  # no end token
def dialogue_batch(pairs, end_id, pad_id):
    rows = [q + a for q, a in pairs]
    T = max(map(len, rows))
    return {
        "input_ids": _pad(rows, pad_id, T),
        "attention_mask": _pad([[1] * len(x) for x in rows], 0, T),
        "labels": _pad([[-100] * len(q) + a for q, a in pairs], -100, T),
    }


@wrong("3.1", "the labels are shifted to the left")  # labels shifted by hand
def dialogue_batch(pairs, end_id, pad_id):
    rows = [q + a + [end_id] for q, a in pairs]
    T = max(map(len, rows))
    lab = [([-100] * len(q) + a + [end_id])[1:] + [-100] for q, a in pairs]
    return {
        "input_ids": _pad(rows, pad_id, T),
        "attention_mask": _pad([[1] * len(x) for x in rows], 0, T),
        "labels": _pad(lab, -100, T),
    }


@wrong("3.1", "the attention mask hides the end-of-sequence token")  # attention mask from ids != pad
def dialogue_batch(pairs, end_id, pad_id):
    rows = [q + a + [end_id] for q, a in pairs]
    T = max(map(len, rows))
    ids = _pad(rows, pad_id, T)
    return {
        "input_ids": ids,
        "attention_mask": (ids != pad_id).long(),
        "labels": _pad([[-100] * len(q) + a + [end_id] for q, a in pairs], -100, T),
    }


@wrong("3.1", "the padding is on the left")  # left padding
def dialogue_batch(pairs, end_id, pad_id):
    rows = [q + a + [end_id] for q, a in pairs]
    T = max(map(len, rows))
    L = lambda rs, v: torch.tensor([[v] * (T - len(x)) + x for x in rs])
    return {
        "input_ids": L(rows, pad_id),
        "attention_mask": L([[1] * len(x) for x in rows], 0),
        "labels": L([[-100] * len(q) + a + [end_id] for q, a in pairs], -100),
    }


@wrong("3.1", "padding is a target")  # padding labels are pad_id, not -100
def dialogue_batch(pairs, end_id, pad_id):
    rows = [q + a + [end_id] for q, a in pairs]
    T = max(map(len, rows))
    return {
        "input_ids": _pad(rows, pad_id, T),
        "attention_mask": _pad([[1] * len(x) for x in rows], 0, T),
        "labels": _pad([[-100] * len(q) + a + [end_id] for q, a in pairs], pad_id, T),
    }


@wrong("3.1", "there is an end-of-sequence token between question and answer")  # end also after the question
def dialogue_batch(pairs, end_id, pad_id):
    rows = [q + [end_id] + a + [end_id] for q, a in pairs]
    T = max(map(len, rows))
    return {
        "input_ids": _pad(rows, pad_id, T),
        "attention_mask": _pad([[1] * len(x) for x in rows], 0, T),
        "labels": _pad([[-100] * (len(q) + 1) + a + [end_id] for q, a in pairs], -100, T),
    }


@wrong("3.1", "what is no target has the label 0")  # labels masked with 0
def dialogue_batch(pairs, end_id, pad_id):
    rows = [q + a + [end_id] for q, a in pairs]
    T = max(map(len, rows))
    return {
        "input_ids": _pad(rows, pad_id, T),
        "attention_mask": _pad([[1] * len(x) for x in rows], 0, T),
        "labels": _pad([[0] * len(q) + a + [end_id] for q, a in pairs], 0, T),
    }


@right("3.1")  # pad_sequence
def dialogue_batch(pairs, end_id, pad_id):
    from torch.nn.utils.rnn import pad_sequence

    ids = [torch.tensor(list(q) + list(a) + [end_id]) for q, a in pairs]
    lab = [torch.cat([torch.full((len(q),), -100), torch.tensor(list(a) + [end_id])]) for q, a in pairs]
    p = lambda x, v: pad_sequence(x, batch_first=True, padding_value=v)
    return {
        "input_ids": p(ids, pad_id),
        "attention_mask": p([torch.ones_like(x) for x in ids], 0),
        "labels": p(lab, -100),
    }


@right("3.1")  # fill in tensors, mask bool->long
def dialogue_batch(pairs, end_id, pad_id):
    T = max(len(q) + len(a) for q, a in pairs) + 1
    ids = torch.full((len(pairs), T), pad_id, dtype=torch.long)
    lab = torch.full_like(ids, -100)
    m = torch.zeros_like(ids)
    for row, (q, a) in enumerate(pairs):
        e = len(q) + len(a) + 1
        ids[row, :e] = torch.tensor([*q, *a, end_id])
        lab[row, len(q) : e] = ids[row, len(q) : e]
        m[row, :e] = 1
    return dict(input_ids=ids, attention_mask=m, labels=lab)


@right("3.1")  # position arithmetic with where
def dialogue_batch(pairs, end_id, pad_id):
    q = torch.tensor([len(x) for x, _ in pairs])[:, None]
    n = torch.tensor([len(x) + len(y) + 1 for x, y in pairs])[:, None]
    T = int(n.max())
    pos = torch.arange(T)[None]
    ids = torch.tensor([(x + y + [end_id] + [pad_id] * T)[:T] for x, y in pairs])
    return {
        "labels": torch.where((pos >= q) & (pos < n), ids, -100),
        "attention_mask": (pos < n).long(),
        "input_ids": ids,
    }


def _rows(batches, model):
    dev = next(model.parameters()).device
    for b in batches:
        b = {k: v.to(dev) for k, v in b.items()}
        for i in range(len(b["input_ids"])):
            yield {k: v[i : i + 1] for k, v in b.items()}


def _fisher(model, units, scale, norm=None):
    was = model.training
    model.eval()
    ps = {n: p for n, p in model.named_parameters() if p.requires_grad}
    out = {n: torch.zeros_like(p, dtype=torch.float32) for n, p in ps.items()}
    N = 0
    for ex in units:
        loss = model(**ex).loss * scale(ex)
        g = torch.autograd.grad(loss, list(ps.values()), allow_unused=True)
        for n, gi in zip(ps, g):
            if gi is not None:
                out[n] += gi.float() ** 2
        N += 1
    model.train(was)
    return {n: v / (norm or N) for n, v in out.items()}


@wrong("3.2", "the loss of each example was averaged over its tokens")  # mean loss, tokens not multiplied
def fisher(model, batches):
    return _fisher(model, _rows(batches, model), lambda e: 1)


@wrong("3.2", "you squared the gradient of the whole batch's summed loss")  # batch squared
def fisher(model, batches):
    return _fisher(model, batches, lambda e: (e["labels"][:, 1:] != -100).sum())


@wrong(
    "3.2", "each example's mean loss was multiplied by the number of its tokens"
)  # counts the first position/all label positions in attention mask
def fisher(model, batches):
    return _fisher(model, _rows(batches, model), lambda e: e["attention_mask"].sum())


@wrong("3.2", "you divided by the number of batches")  # divided by number of batches
def fisher(model, batches):
    return _fisher(model, _rows(batches, model), lambda e: (e["labels"][:, 1:] != -100).sum(), norm=len(batches))


@wrong("3.2", "the model was in training mode")  # dropout on
def fisher(model, batches):
    model.train()
    out = {n: torch.zeros_like(p) for n, p in model.named_parameters() if p.requires_grad}
    N = 0
    for ex in _rows(batches, model):
        model.zero_grad()
        (model(**ex).loss * (ex["labels"][:, 1:] != -100).sum()).backward()
        N += 1
        for n, p in model.named_parameters():
            if p.grad is not None and n in out:
                out[n] += p.grad.detach() ** 2
    model.zero_grad()
    return {n: v / N for n, v in out.items()}


@wrong("3.2", "the gradients were not squared")  # absolute gradient instead of square
def fisher(model, batches):
    model.eval()
    out = {n: torch.zeros_like(p) for n, p in model.named_parameters() if p.requires_grad}
    N = 0
    for ex in _rows(batches, model):
        model.zero_grad()
        (model(**ex).loss * (ex["labels"][:, 1:] != -100).sum()).backward()
        N += 1
        for n, p in model.named_parameters():
            if p.grad is not None and n in out:
                out[n] += p.grad.detach().abs()
    model.zero_grad()
    return {n: v / N for n, v in out.items()}


@wrong(
    "3.2", "gradients pile up from one example to the next"
)  # gradients pile up from example to example (no zero_grad)
def fisher(model, batches):
    model.eval()
    model.zero_grad()
    out = {n: torch.zeros_like(p) for n, p in model.named_parameters() if p.requires_grad}
    N = 0
    for ex in _rows(batches, model):
        (model(**ex).loss * (ex["labels"][:, 1:] != -100).sum()).backward()
        N += 1
        for n, p in model.named_parameters():
            if p.grad is not None and n in out:
                out[n] += p.grad.detach() ** 2
    model.zero_grad()
    return {n: v / N for n, v in out.items()}


@wrong("3.2", "you averaged all gradients and squared once")  # averaged first, then squared
def fisher(model, batches):
    model.eval()
    out = {n: torch.zeros_like(p) for n, p in model.named_parameters() if p.requires_grad}
    N = 0
    for ex in _rows(batches, model):
        model.zero_grad()
        (model(**ex).loss * (ex["labels"][:, 1:] != -100).sum()).backward()
        N += 1
        for n, p in model.named_parameters():
            if p.grad is not None and n in out:
                out[n] += p.grad.detach()
    model.zero_grad()
    return {n: (v / N) ** 2 for n, v in out.items()}


@wrong(
    "3.2", "each example's squared gradient was multiplied by its number of target"
)  # tokens multiply the square: n * g^2
def fisher(model, batches):
    model.eval()
    out = {n: torch.zeros_like(p) for n, p in model.named_parameters() if p.requires_grad}
    N = 0
    for ex in _rows(batches, model):
        model.zero_grad()
        model(**ex).loss.backward()
        N += 1
        k = (ex["labels"][:, 1:] != -100).sum()
        for n, p in model.named_parameters():
            if p.grad is not None and n in out:
                out[n] += k * p.grad.detach() ** 2
    model.zero_grad()
    return {n: v / N for n, v in out.items()}


@wrong("3.2", "only the last example counts")  # = instead of +=: only last example
def fisher(model, batches):
    model.eval()
    out = {}
    N = 0
    for ex in _rows(batches, model):
        model.zero_grad()
        (model(**ex).loss * (ex["labels"][:, 1:] != -100).sum()).backward()
        N += 1
        for n, p in model.named_parameters():
            if p.grad is not None:
                out[n] = p.grad.detach().clone() ** 2
    model.zero_grad()
    return {n: v / N for n, v in out.items()}


@wrong("3.2", "the question and the padding are in the loss")  # question counted: labels replaced by input_ids
def fisher(model, batches):
    def units():
        for e in _rows(batches, model):
            e = dict(e)
            e["labels"] = e["input_ids"].clone()
            yield e

    return _fisher(model, units(), lambda e: (e["labels"][:, 1:] != -100).sum())


@right("3.2")  # autograd.grad
def fisher(model, batches):
    return _fisher(model, _rows(batches, model), lambda e: (e["labels"][:, 1:] != -100).sum())


@right("3.2")  # own cross entropy
def fisher(model, batches):
    model.eval()
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    result = {n: torch.zeros(p.shape) for n, p in named}
    N = 0
    for ex in _rows(batches, model):
        logits = model(input_ids=ex["input_ids"], attention_mask=ex["attention_mask"]).logits[0, :-1]
        nll = F.cross_entropy(logits, ex["labels"][0, 1:], ignore_index=-100, reduction="sum")
        for (n, p), g in zip(named, torch.autograd.grad(nll, [p for _, p in named])):
            result[n] += g**2
        N += 1
    return {n: t.div_(N) for n, t in result.items()}


@right("3.2")  # backward, zero to none, running mean
def fisher(model, batches):
    mode = model.training
    model.eval()
    mean = {}
    N = 0
    for ex in _rows(batches, model):
        model.zero_grad(set_to_none=True)
        n_targets = int(ex["labels"][:, 1:].ne(-100).sum())
        (n_targets * model(**ex).loss).backward()
        N += 1
        for name, p in model.named_parameters():
            if p.grad is None:
                continue
            sq = p.grad.detach().float().square()
            mean[name] = sq if name not in mean else mean[name] + (sq - mean[name]) / N
    model.zero_grad(set_to_none=True)
    model.train(mode)
    return mean


class _P:
    def __init__(self, model, importance, strength):
        self.importance = importance
        self.strength = strength
        params = dict(model.named_parameters())
        self.anchor = {n: params[n].detach().clone() for n in importance}


@wrong("3.3", "the anchor moves along with the model")  # anchor shares memory (detach only)
class ElasticPenalty(_P):
    def __init__(self, model, importance, strength):
        self.importance, self.strength = importance, strength
        ps = dict(model.named_parameters())
        self.anchor = {n: ps[n].detach() for n in importance}

    def value(self, model):
        ps = dict(model.named_parameters())
        return self.strength / 2 * sum((f * (ps[n] - self.anchor[n]) ** 2).sum() for n, f in self.importance.items())


@wrong("3.3", "the factor ½ is missing")  # no half
class ElasticPenalty(_P):
    def value(self, model):
        ps = dict(model.named_parameters())
        return self.strength * sum((f * (ps[n] - self.anchor[n]) ** 2).sum() for n, f in self.importance.items())


@wrong("3.3", "an importance with a name that fits no parameter ")  # unknown names skipped
class ElasticPenalty:
    def __init__(self, model, importance, strength):
        self.importance, self.strength = importance, strength
        self.anchor = {n: p.detach().clone() for n, p in model.named_parameters()}

    def value(self, model):
        total = torch.zeros(())
        for n, p in model.named_parameters():
            if n in self.importance:
                total = total + (self.importance[n] * (p - self.anchor[n]) ** 2).sum()
        return self.strength / 2 * total


@wrong("3.3", "each tensor's mean was taken")  # mean instead of sum
class ElasticPenalty(_P):
    def value(self, model):
        ps = dict(model.named_parameters())
        return self.strength / 2 * sum((f * (ps[n] - self.anchor[n]) ** 2).mean() for n, f in self.importance.items())


@wrong("3.3", "the distance is not squared")  # absolute distance
class ElasticPenalty(_P):
    def value(self, model):
        ps = dict(model.named_parameters())
        return self.strength / 2 * sum((f * (ps[n] - self.anchor[n]).abs()).sum() for n, f in self.importance.items())


@wrong("3.3", "the value is a plain number without a graph")  # .item(): not differentiable
class ElasticPenalty(_P):
    def value(self, model):
        ps = dict(model.named_parameters())
        t = 0.0
        for n, f in self.importance.items():
            t += (f * (ps[n] - self.anchor[n]) ** 2).sum().item()
        return torch.tensor(self.strength / 2 * t)


@wrong("3.3", "the importance is squared too")  # importance squared with the distance
class ElasticPenalty(_P):
    def value(self, model):
        ps = dict(model.named_parameters())
        return self.strength / 2 * sum(((f * (ps[n] - self.anchor[n])) ** 2).sum() for n, f in self.importance.items())


@wrong("3.3", "the importance is missing")  # importance ignored (L2)
class ElasticPenalty(_P):
    def value(self, model):
        ps = dict(model.named_parameters())
        return self.strength / 2 * sum(((ps[n] - self.anchor[n]) ** 2).sum() for n in self.importance)


@wrong("3.3", "the weights themselves are penalised")  # distance from zero (weight decay)
class ElasticPenalty(_P):
    def value(self, model):
        ps = dict(model.named_parameters())
        return self.strength / 2 * sum((f * ps[n] ** 2).sum() for n, f in self.importance.items())


@wrong("3.3", "only the last tensor counts")  # only the last parameter: = in loop
class ElasticPenalty(_P):
    def value(self, model):
        ps = dict(model.named_parameters())
        for n, f in self.importance.items():
            penalty = (f * (ps[n] - self.anchor[n]) ** 2).sum()
        return self.strength / 2 * penalty


@right("3.3")  # get_parameter
class ElasticPenalty:
    def __init__(self, model, importance, strength):
        self.springs = {n: (f, model.get_parameter(n).data.clone()) for n, f in importance.items()}
        self.k = strength

    def value(self, model):
        return (
            0.5
            * self.k
            * torch.stack(
                [(f * (model.get_parameter(n) - a).square()).sum() for n, (f, a) in self.springs.items()]
            ).sum()
        )


@right("3.3")  # flat vectors
class ElasticPenalty:
    def __init__(self, model, importance, strength):
        self.names = sorted(importance)
        ps = dict(model.named_parameters())
        self.f = torch.cat([importance[n].reshape(-1) for n in self.names])
        self.strength = strength
        self.a = torch.cat([ps[n].detach().reshape(-1) for n in self.names]).clone()

    def value(self, model):
        ps = dict(model.named_parameters())
        d = torch.cat([ps[n].reshape(-1) for n in self.names]) - self.a
        return self.strength / 2 * torch.dot(self.f, d * d)


@right("3.3")  # explicit error
class ElasticPenalty:
    def __init__(self, model, importance, strength):
        missing = set(importance) - {n for n, _ in model.named_parameters()}
        if missing:
            raise KeyError(f"no such weights: {missing}")
        self.start = copy.deepcopy({n: p.detach() for n, p in model.named_parameters()})
        self.importance = importance
        self.strength = strength

    def value(self, model):
        p_now = dict(model.named_parameters())
        total = 0
        for n in self.importance:
            total = total + torch.sum(self.importance[n] * torch.pow(p_now[n] - self.start[n], 2))
        return total * self.strength / 2


def _over_examples(model, batches, post):
    model.eval()
    ps = {n: p for n, p in model.named_parameters() if p.requires_grad}
    rows = []
    for b in batches:
        for i in range(len(b["labels"])):
            e = {k: v[i : i + 1] for k, v in b.items()}
            loss = model(**e).loss * (e["labels"][:, 1:] != -100).sum()
            rows.append(torch.autograd.grad(loss, list(ps.values())))
    return {n: post(torch.stack([r[k] for r in rows])) for k, n in enumerate(ps)}


@wrong("3.2", "")  # variance of the gradients
def fisher(model, batches):
    return _over_examples(model, batches, lambda g: g.var(0, unbiased=False))


@wrong("3.2", "this is the square root of the mean of squares")  # root of the mean square
def fisher(model, batches):
    return _over_examples(model, batches, lambda g: g.square().mean(0).sqrt())


@wrong("3.2", "")  # scaled to a largest entry of 1
def fisher(model, batches):
    return _over_examples(model, batches, lambda g: g.square().mean(0) / g.square().mean(0).max())


@wrong("3.2", "")  # median over examples
def fisher(model, batches):
    return _over_examples(model, batches, lambda g: g.square().median(0).values)


class _Spring:
    def __init__(self, model, importance, strength):
        self.m, self.i, self.s = model, importance, strength
        weights = dict(model.named_parameters())
        self.a = {n: weights[n].detach().clone() for n in importance}

    def value(self, model):
        weights = dict(model.named_parameters())
        return self.s / 2 * sum((self.i[n] * (weights[n] - self.a[n]) ** 2).sum() for n in self.i)


@wrong("3.3", "the value is the same for two models")  # looks at the model that it was made with
class ElasticPenalty(_Spring):
    def value(self, model):
        return super().value(self.m)


@wrong("3.3", "the value is the same for two models")  # keeps its first result
class ElasticPenalty(_Spring):
    def value(self, model):
        if not hasattr(self, "kept"):
            self.kept = super().value(model)
        return self.kept + 0 * super().value(model)


@wrong("3.3", "the value is another one each time it is asked")  # adds up from call to call
class ElasticPenalty(_Spring):
    total = 0.0

    def value(self, model):
        found = super().value(model)
        result, self.total = self.total + found, self.total + found.detach()
        return result


@wrong("3.3", "the value is another one each time it is asked")  # moves its anchor after each call
class ElasticPenalty(_Spring):
    def value(self, model):
        found = super().value(model)
        weights = dict(model.named_parameters())
        self.a = {n: weights[n].detach().clone() for n in self.i}
        return found


@wrong("3.3", "the value has no path back to the weights")  # a new tensor of the right value
class ElasticPenalty(_Spring):
    def value(self, model):
        return super().value(model).detach().requires_grad_()


@wrong("3.2", "")  # a token with the number 0 is no target
def fisher(model, batches):
    return _fisher(model, _rows(batches, model), lambda e: (e["labels"][:, 1:] > 0).sum())


@wrong(
    "3.2", "your code stopped with RuntimeError: One of the differentiated Tensors does not require grad. A frozen"
)  # asks gradients of all parameters
def fisher(model, batches):
    model.eval()
    weights = dict(model.named_parameters())
    total, count = {n: torch.zeros_like(p) for n, p in weights.items()}, 0
    for example in _rows(batches, model):
        nats = model(**example).loss * (example["labels"][:, 1:] != -100).sum()
        for n, g in zip(weights, torch.autograd.grad(nats, list(weights.values()))):
            total[n] += g**2
        count += 1
    return {n: t / count for n, t in total.items()}


@wrong("3.1", "your code changed the lists it was given: question += answer and answer.append(end_id) do")
def dialogue_batch(pairs, end_id, pad_id):
    for _, answer in pairs:
        answer.append(end_id)
    longest = max(len(q) + len(a) for q, a in pairs)
    rows = [(q + a, [-100] * len(q) + a) for q, a in pairs]
    return {
        "input_ids": torch.tensor([ids + [pad_id] * (longest - len(ids)) for ids, _ in rows]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows]),
        "labels": torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in rows]),
    }


@wrong("3.1", "the question is dropped")  # the answers alone
def dialogue_batch(pairs, end_id, pad_id):
    rows = [[*a, end_id] for _, a in pairs]
    T = max(map(len, rows))
    return {
        "input_ids": _pad(rows, pad_id, T),
        "attention_mask": _pad([[1] * len(r) for r in rows], 0, T),
        "labels": _pad(rows, -100, T),
    }


@wrong("3.1", "attention_mask holds floating-point numbers")  # a mask of floats
def dialogue_batch(pairs, end_id, pad_id):
    rows = [[*q, *a, end_id] for q, a in pairs]
    T = max(map(len, rows))
    labels = [[-100] * len(q) + [*a, end_id] for q, a in pairs]
    return {
        "input_ids": _pad(rows, pad_id, T),
        "attention_mask": _pad([[1.0] * len(r) for r in rows], 0.0, T),
        "labels": _pad(labels, -100, T),
    }


def _summed_loss(model, row):
    return model(**row).loss * (row["labels"][:, 1:] != -100).sum()


def _divided_by(divisor, loss=_summed_loss):
    def fisher(model, batches):
        model.eval()
        total = {n: torch.zeros_like(p) for n, p in model.named_parameters() if p.requires_grad}
        rows = [{k: v[i : i + 1] for k, v in b.items()} for b in batches for i in range(len(b["labels"]))]
        for row in rows:
            model.zero_grad()
            loss(model, row).backward()
            for n in total:
                total[n] += model.get_parameter(n).grad ** 2
        model.zero_grad()
        return {n: t / divisor(len(rows)) for n, t in total.items()}

    return fisher


def _loss_of_a_draw(model, row):
    logits = model(row["input_ids"], attention_mask=row["attention_mask"]).logits[:, :-1]
    drawn = torch.distributions.Categorical(logits=logits).sample()
    drawn[row["labels"][:, 1:] == -100] = -100
    return F.cross_entropy(logits[0], drawn[0], ignore_index=-100, reduction="sum")


right("3.2")(_divided_by(lambda n: n))
wrong("3.2", "in the case “six examples”: ")(_divided_by(lambda n: 2))  # a fixed number, not an index
wrong("3.2", "in the case “six examples”: ")(_divided_by(lambda n: 3))  # nor a number of batches
wrong("3.2", "you divided by one more than the number of examples")(_divided_by(lambda n: n + 1))
wrong("3.2", "the numbers differ from one run to the next")(_divided_by(lambda n: n, _loss_of_a_draw))


@wrong("3.3", "λ is squared. Is it inside the square?")  # λ squared outside the square
class ElasticPenalty(_P):
    def value(self, model):
        ps = dict(model.named_parameters())
        total = sum((f * (ps[n] - self.anchor[n]) ** 2).sum() for n, f in self.importance.items())
        return self.strength**2 / 2 * total


@wrong("3.3", "your code stopped with KeyError: 'temperature', a parameter that has no importance")  # all parameters
class ElasticPenalty:
    def __init__(self, model, importance, strength):
        self.F, self.s = importance, strength
        self.anchor = {n: p.detach().clone() for n, p in model.named_parameters()}

    def value(self, model):
        return self.s / 2 * sum((self.F[n] * (p - self.anchor[n]) ** 2).sum() for n, p in model.named_parameters())


@wrong("3.3", "the value has shape [1], but a penalty is one number")  # begun with torch.zeros(1)
class ElasticPenalty:
    def __init__(self, model, importance, strength):
        self.F, self.s = importance, strength
        self.anchor = {n: model.get_parameter(n).detach().clone() for n in importance}

    def value(self, model):
        total = torch.zeros(1)
        for n, a in self.anchor.items():
            total = total + (self.F[n] * (model.get_parameter(n) - a) ** 2).sum()
        return self.s / 2 * total
