"""Answers to the exercises of chapter 2, each a whole function or class.

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


@wrong("2.1", "only the diagonal of the curvature was used")  # only the diagonal of H (elementwise)
def rest(old, importance, new, curvature, strength):
    h = torch.diagonal(curvature)
    return (h * new + strength * importance * old) / (h + strength * importance)


@wrong("2.1", "the strength is missing on the left-hand side")  # lambda forgotten on the left
def rest(old, importance, new, curvature, strength):
    return torch.linalg.solve(curvature + torch.diag(importance), curvature @ new + strength * importance * old)


@wrong("2.1", "the two optima are exchanged")  # old and new swapped
def rest(old, importance, new, curvature, strength):
    return torch.linalg.solve(
        curvature + strength * torch.diag(importance), curvature @ old + strength * importance * new
    )


@wrong("2.1", "the right-hand side was divided by the diagonal of the left")  # elementwise division instead of inverse
def rest(old, importance, new, curvature, strength):
    A = curvature + strength * torch.diag(importance)
    b = curvature @ new + strength * importance * old
    return b / torch.diag(A)


@wrong(
    "2.1", "the curvature's entries were multiplied with the new optimum and summe"
)  # curvature * new elementwise then sum over the wrong axis
def rest(old, importance, new, curvature, strength):
    A = curvature + strength * torch.diag(importance)
    b = (curvature * new).sum(0) + strength * importance * old
    return torch.linalg.solve(A, b)


@wrong("2.1", "the importance was added to every row of the curvature")  # F added to every entry of H (no diag)
def rest(old, importance, new, curvature, strength):
    return torch.linalg.solve(curvature + strength * importance, curvature @ new + strength * importance * old)


@wrong("2.1", "the spring is half as strong as it should be")  # half strength
def rest(old, importance, new, curvature, strength):
    A = curvature + strength / 2 * torch.diag(importance)
    return torch.linalg.solve(A, curvature @ new + strength / 2 * importance * old)


@right("2.1")  # inverse
def rest(old, importance, new, curvature, strength):
    S = strength * torch.diag(importance)
    return torch.inverse(curvature + S) @ (curvature @ new + S @ old)


@right("2.1")  # displacement form, double
def rest(old, importance, new, curvature, strength):
    H, Fi = curvature.double(), importance.double()
    A = H + strength * torch.diag(Fi)
    return (old.double() + torch.linalg.solve(A, H @ (new - old).double())).to(old.dtype)


@right("2.1")  # Cramer
def rest(old, importance, new, curvature, strength):
    A = curvature.clone()
    A[0, 0] += strength * importance[0]
    A[1, 1] += strength * importance[1]
    b = torch.mv(curvature, new) + strength * importance * old
    det = A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0]
    return torch.stack([(b[0] * A[1, 1] - A[0, 1] * b[1]) / det, (A[0, 0] * b[1] - A[1, 0] * b[0]) / det])


@wrong("2.2", "only the most probable class was used")  # empirical-like: only the most likely class
def exact_fisher(model, inputs):
    model.eval()
    params = dict(model.named_parameters())
    out = {n: torch.zeros_like(p) for n, p in params.items()}
    for x in inputs:
        lp = model(x[None]).log_softmax(-1)[0]
        g = torch.autograd.grad(lp[lp.argmax()], list(params.values()))
        for n, gi in zip(params, g):
            out[n] += gi**2 / len(inputs)
    return out


@wrong("2.2", "every class counts alike ")  # all classes weighted alike (no probability)
def exact_fisher(model, inputs):
    model.eval()
    params = dict(model.named_parameters())
    out = {n: torch.zeros_like(p) for n, p in params.items()}
    for x in inputs:
        lp = model(x[None]).log_softmax(-1)[0]
        for c in range(len(lp)):
            g = torch.autograd.grad(lp[c], list(params.values()), retain_graph=True)
            for n, gi in zip(params, g):
                out[n] += gi**2 / len(lp) / len(inputs)
    return out


@wrong("2.2", "the gradients were multiplied by the probability and then squared")  # probability inside the square
def exact_fisher(model, inputs):
    model.eval()
    params = dict(model.named_parameters())
    out = {n: torch.zeros_like(p) for n, p in params.items()}
    for x in inputs:
        lp = model(x[None]).log_softmax(-1)[0]
        for c in range(len(lp)):
            g = torch.autograd.grad(lp[c], list(params.values()), retain_graph=True)
            for n, gi in zip(params, g):
                out[n] += (lp[c].exp().detach() * gi) ** 2 / len(inputs)
    return out


@wrong("2.2", "you squared the gradient of the whole batch")  # batch gradient per class squared
def exact_fisher(model, inputs):
    model.eval()
    params = dict(model.named_parameters())
    out = {n: torch.zeros_like(p) for n, p in params.items()}
    lp = model(inputs).log_softmax(-1)
    for c in range(lp.shape[1]):
        g = torch.autograd.grad(lp[:, c].mean(), list(params.values()), retain_graph=True)
        for n, gi in zip(params, g):
            out[n] += lp[:, c].exp().mean().detach() * gi**2
    return out


@wrong("2.2", "you differentiated the logits")  # gradient of the logits, not log p
def exact_fisher(model, inputs):
    model.eval()
    params = dict(model.named_parameters())
    out = {n: torch.zeros_like(p) for n, p in params.items()}
    for x in inputs:
        z = model(x[None])[0]
        p = z.softmax(-1).detach()
        for c in range(len(z)):
            g = torch.autograd.grad(z[c], list(params.values()), retain_graph=True)
            for n, gi in zip(params, g):
                out[n] += p[c] * gi**2 / len(inputs)
    return out


@wrong("2.2", "the sum over the examples was not divided by their number")  # not divided by N
def exact_fisher(model, inputs):
    model.eval()
    params = dict(model.named_parameters())
    out = {n: torch.zeros_like(p) for n, p in params.items()}
    for x in inputs:
        lp = model(x[None]).log_softmax(-1)[0]
        for c in range(len(lp)):
            g = torch.autograd.grad(lp[c], list(params.values()), retain_graph=True)
            for n, gi in zip(params, g):
                out[n] += lp[c].exp().detach() * gi**2
    return out


@wrong(
    "2.2", "your code left gradients in the model"
)  # leaves gradients behind (backward, no zero_grad at the end), values right
def exact_fisher(model, inputs):
    model.eval()
    out = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    for x in inputs:
        C = model(x[None]).shape[-1]
        for c in range(C):
            model.zero_grad()
            lp = model(x[None]).log_softmax(-1)[0]
            lp[c].backward()
            for n, p in model.named_parameters():
                out[n] += lp[c].exp().item() * p.grad**2 / len(inputs)
    return out


@wrong("2.2", "gradients pile up from one class to the next")  # gradients pile up over classes
def exact_fisher(model, inputs):
    model.eval()
    out = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    for x in inputs:
        model.zero_grad()
        lp = model(x[None]).log_softmax(-1)[0]
        for c in range(len(lp)):
            lp[c].backward(retain_graph=True)
            for n, p in model.named_parameters():
                out[n] += lp[c].exp().item() * p.grad**2 / len(inputs)
    model.zero_grad()
    return out


@wrong("2.2", "you differentiated the probability")  # gradient of p, not of log p
def exact_fisher(model, inputs):
    model.eval()
    params = dict(model.named_parameters())
    out = {n: torch.zeros_like(p) for n, p in params.items()}
    for x in inputs:
        pr = model(x[None]).softmax(-1)[0]
        for c in range(len(pr)):
            g = torch.autograd.grad(pr[c], list(params.values()), retain_graph=True)
            for n, gi in zip(params, g):
                out[n] += pr[c].detach() * gi**2 / len(inputs)
    return out


@right("2.2")  # torch.func
def exact_fisher(model, inputs):
    model.eval()
    from torch.func import functional_call, jacrev, vmap

    params = {n: p.detach() for n, p in model.named_parameters()}

    def f(ps, x):
        return functional_call(model, ps, (x[None],)).log_softmax(-1)[0]

    J = vmap(jacrev(f), in_dims=(None, 0))(params, inputs)
    p = model(inputs).softmax(-1).detach()
    return {n: (p.reshape(*p.shape, *[1] * (j.ndim - 2)) * j**2).sum(1).mean(0) for n, j in J.items()}


@right("2.2")  # backward and zero_grad to None
def exact_fisher(model, inputs):
    model.eval()
    out = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    N = inputs.shape[0]
    for i in range(N):
        C = model(inputs[i : i + 1]).shape[-1]
        for c in range(C):
            model.zero_grad(set_to_none=True)
            logits = model(inputs[i].unsqueeze(0))
            loss = F.cross_entropy(logits, torch.tensor([c]))
            loss.backward()
            for n, p in model.named_parameters():
                out[n] += torch.exp(-loss).detach() * p.grad.pow(2)
    model.zero_grad(set_to_none=True)
    return {n: v / N for n, v in out.items()}


@right("2.2")  # sqrt of probability inside the square
def exact_fisher(model, inputs):
    model.eval()
    names = [n for n, _ in model.named_parameters()]
    ps = [p for _, p in model.named_parameters()]
    total = [torch.zeros_like(p) for p in ps]
    for x in inputs.split(1):
        logp = F.log_softmax(model(x), dim=1).squeeze(0)
        for lp in logp:
            gs = torch.autograd.grad(lp, ps, retain_graph=True)
            w_ = lp.detach().exp().sqrt()
            for t, g in zip(total, gs):
                t.add_((w_ * g).square())
    return {n: t / inputs.size(0) for n, t in zip(names, total)}


def _m(d):
    return sum(t.sum().item() for t in d.values()) / sum(t.numel() for t in d.values())


@wrong("2.3", "the ratio is upside down")  # ratio upside down
def matched_strength(strength, importance, other):
    return strength * _m(other) / _m(importance)


@wrong("2.3", "each tensor's mean counts alike here")  # mean of tensor means
def matched_strength(strength, importance, other):
    a = torch.stack([t.mean() for t in importance.values()]).mean()
    b = torch.stack([t.mean() for t in other.values()]).mean()
    return float(strength * a / b)


@wrong(
    "2.3", "the medians are compared"
)  # sums instead of means (of other tensors); same count -> actually ratio of sums is right if sizes equal; here: median
def matched_strength(strength, importance, other):
    a = torch.cat([t.flatten() for t in importance.values()]).median()
    b = torch.cat([t.flatten() for t in other.values()]).median()
    return float(strength * a / b)


@wrong("2.3", "the strength itself is missing")  # forgets the strength
def matched_strength(strength, importance, other):
    return _m(importance) / _m(other)


@wrong("2.3", "the two mean importances are multiplied")  # product
def matched_strength(strength, importance, other):
    return strength * _m(importance) * _m(other)


@wrong("2.3", "this is the mean of the entries' ratios")  # mean of entrywise ratios
def matched_strength(strength, importance, other):
    a = torch.cat([(importance[n] / other[n].clamp(min=1e-12)).flatten() for n in other])
    return float(strength * a.mean())


@wrong("2.3", "the largest entries are compared")  # largest entries
def matched_strength(strength, importance, other):
    return strength * max(t.max() for t in importance.values()).item() / max(t.max() for t in other.values()).item()


@wrong("2.3", "only the first tensor was looked at")  # return in the loop, first tensor only
def matched_strength(strength, importance, other):
    for name in importance:
        return strength * importance[name].mean().item() / other[name].mean().item()


@right("2.3")  # cat mean
def matched_strength(strength, importance, other):
    flat = lambda d: torch.cat([t.reshape(-1) for t in d.values()]).mean()
    return (strength * flat(importance) / flat(other)).item()


@right("2.3")  # ratio of sums (same model)
def matched_strength(strength, importance, other):
    return strength * float(sum(v.sum() for v in importance.values())) / float(sum(v.sum() for v in other.values()))


@wrong("2.1", "the spring is missing on the left-hand side")  # spring missing on the left
def rest(old, importance, new, curvature, strength):
    return torch.linalg.solve(curvature, curvature @ new + strength * importance * old)


@wrong("2.1", "the left-hand side was inverted entry by entry ")  # inverse entry by entry
def rest(old, importance, new, curvature, strength):
    A = curvature + strength * torch.diag(importance)
    return A**-1 @ (curvature @ new + strength * importance * old)


@wrong("2.1", "")  # weighted mean with sums of the matrices
def rest(old, importance, new, curvature, strength):
    return (curvature @ new + strength * importance * old) / (curvature.sum() + strength * importance.sum())


@wrong("2.1", "the curvature is missing on the left-hand side")  # curvature missing on the left
def rest(old, importance, new, curvature, strength):
    return torch.linalg.solve(torch.diag(strength * importance), curvature @ new + strength * importance * old)


def _each(model, inputs, unit, N, C=1):
    model.eval()
    ps = dict(model.named_parameters())
    out = {n: torch.zeros_like(p) for n, p in ps.items()}
    for x in inputs:
        lp = model(x[None]).log_softmax(-1)[0]
        for c in range(len(lp)):
            g = torch.autograd.grad(lp[c], list(ps.values()), retain_graph=True)
            for n, gi in zip(ps, g):
                out[n] += unit(lp[c].exp().detach(), gi) / N
    return out


@wrong("2.2", "")  # divided by classes and examples
def exact_fisher(model, inputs):
    return _each(model, inputs, lambda p, g: p * g**2, len(inputs) * model(inputs[:1]).shape[-1])


@wrong("2.2", "only the first example was looked at")  # only the first example
def exact_fisher(model, inputs):
    return _each(model, inputs[:1], lambda p, g: p * g**2, 1)


@wrong("2.2", "")  # summed over the batch per class before squaring
def exact_fisher(model, inputs):
    model.eval()
    ps = dict(model.named_parameters())
    out = {n: torch.zeros_like(p) for n, p in ps.items()}
    lp = model(inputs).log_softmax(-1)
    p = lp.exp().detach()
    for c in range(lp.shape[1]):
        g = torch.autograd.grad((p[:, c].sqrt() * lp[:, c]).sum(), list(ps.values()), retain_graph=True)
        for n, gi in zip(ps, g):
            out[n] += gi**2 / len(inputs)
    return out


@wrong("2.2", "this is the square root of the mean of squares")  # square root of the mean of squares
def exact_fisher(model, inputs):
    return {n: v.sqrt() for n, v in _each(model, inputs, lambda p, g: p * g**2, len(inputs)).items()}


@wrong("2.1", "in the case “no correlation”: the solution has shape (2, 2)")  # a matrix
def rest(old, importance, new, curvature, strength):
    return torch.linalg.solve(curvature + strength * torch.diag(importance), curvature * new + importance * old)


for _divided in (True, False):

    @wrong("2.2", "the last class of the last example is all that is left")  # = for +=
    def exact_fisher(model, inputs, divided=_divided):
        model.eval()
        total = {}
        for row in inputs:
            log_p = model(row[None]).log_softmax(-1)[0]
            for label in range(len(log_p)):
                found = torch.autograd.grad(log_p[label], list(model.parameters()), retain_graph=True)
                for (name, _), g in zip(model.named_parameters(), found, strict=True):
                    total[name] = log_p[label].exp().detach() * g**2
        return {name: value / (len(inputs) if divided else 1) for name, value in total.items()}


@wrong("2.3", "entries that are zero are left out of the mean")  # zeros left out
def matched_strength(strength, importance, other):
    one, two = (torch.cat([x.flatten() for x in each.values()]) for each in (importance, other))
    return float(strength * one[one > 0].mean() / two[two > 0].mean())
