"""Exercises of chapter 2: other correct styles pass, and wrong answers are told what is wrong with them."""

import copy

import numpy as np
import pytest
import torch

from cfhelpers.course.checks import CheckFailed, fisher

# 2.1 Where EWC rests -------------------------------------------------------------------------------------------------


def rest_by_inverse(old, importance, new, curvature, strength):
    spring = strength * importance.diag()
    return torch.linalg.inv(curvature + spring) @ (curvature @ new + spring @ old)


def rest_by_cramer(old, importance, new, curvature, strength):
    (a, b), (c, d) = (curvature + torch.diag(strength * importance)).tolist()
    e, f = (curvature @ new + strength * importance * old).tolist()
    determinant = a * d - b * c
    return torch.tensor([(e * d - b * f) / determinant, (a * f - e * c) / determinant], dtype=torch.float64)


def rest_by_descent(old, importance, new, curvature, strength):
    theta = old.clone()
    for _ in range(2000):
        theta = theta - 0.1 * (curvature @ (theta - new) + strength * importance * (theta - old))
    return theta


def rest_by_numpy(*inputs):
    old, importance, new, curvature, strength = (np.asarray(each) for each in inputs)
    spring = strength * np.diag(importance)
    return torch.from_numpy(np.linalg.solve(curvature + spring, curvature @ new + spring @ old))


@pytest.mark.parametrize("answer", [rest_by_inverse, rest_by_cramer, rest_by_descent, rest_by_numpy])
def test_rest_passes_in_other_styles(answer):
    assert fisher.rest(answer) is answer


def rest_in_place(old, importance, new, curvature, strength):
    curvature += strength * torch.diag(importance)
    return torch.linalg.solve(curvature, curvature @ new + strength * importance * old)


def rest_that_moves_old(old, importance, new, curvature, strength):
    right = rest_by_inverse(old, importance, new, curvature, strength)
    old.copy_(right)
    return right


def changed(answer, change):
    return lambda *inputs: change(answer(*inputs))


def rest_with(change):
    return changed(rest_by_inverse, change)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda *a: None, "the solution is None"),
        (rest_in_place, "changed curvature itself"),
        (rest_that_moves_old, "changed old itself"),
        (rest_with(lambda x: x.tolist()), "must be a tensor, not list"),
        (rest_with(tuple), "must be a tensor, not tuple"),
        (rest_with(lambda x: x.unsqueeze(1)), r"has shape \(2, 1\), but must have \(2,\)"),
        (rest_with(lambda x: x.sum()), r"has shape \(\), but must have \(2,\)"),
        (rest_with(lambda x: x.diag()), r"has shape \(2, 2\), but must have \(2,\)"),
        (rest_with(lambda x: x * torch.nan), "is NaN"),
        (rest_with(lambda x: x / 0), "is inf where"),
        (rest_with(lambda x: 2 * x), "2 times what it should be"),
        (rest_with(lambda x: -x), "the solution has the wrong sign"),
        (rest_with(lambda x: x.flip(0)), "where"),
        (rest_with(lambda x: x + 0.01), "where"),
        (rest_with(torch.zeros_like), "0 times what|is 0 where"),
        (rest_with(lambda x: x.round(decimals=1)), "is right"),
        (lambda o, i, n, c, s: o, "the old optimum is returned"),
        (lambda o, i, n, c, s: n, "the new optimum is returned"),
        (lambda o, i, n, c, s: (o + n) / 2, "middle between the two optima"),
        (lambda o, i, n, c, s: (n + s * i * o) / (1 + s * i), "curvature is missing: its loss"),
        (lambda o, i, n, c, s: rest_by_inverse(o, i, n, c, -s), "a sign is wrong on both sides"),
        (lambda o, i, n, c, s: rest_by_inverse(o, 1 / i, n, c, s), "divided by the importance"),
        (lambda o, i, n, c, s: rest_by_inverse(o, i, n, torch.linalg.inv(c), s), "where"),
        (lambda o, i, n, c, s: rest_by_inverse(o, i.sqrt(), n, c, s), "square root of the importance"),
        (lambda o, i, n, c, s: rest_by_inverse(-o, i, n, c, s), "a sign is wrong on the right-hand side"),
        (lambda o, i, n, c, s: torch.linalg.solve(c, s * i), "where"),
        (lambda o, i, n, c, s: torch.linalg.solve(c + i, n.unsqueeze(0)), "stopped with RuntimeError"),
        (lambda o, i, n, c: n, "stopped with TypeError"),
    ],
)
def test_other_wrong_rests_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        fisher.rest(answer)


# 2.2 Every class counts ----------------------------------------------------------------------------------------------


def exact_by_backward(model, inputs):
    model.eval()
    found = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for row in inputs:
        classes = len(model(row))
        for label in range(classes):
            model.zero_grad()
            log_p = torch.log_softmax(model(row), dim=0)
            log_p[label].backward()
            for name, parameter in model.named_parameters():
                found[name] += log_p[label].exp().item() * parameter.grad**2 / len(inputs)
    model.zero_grad()
    return found


def exact_by_functional_jacobian(model, inputs):
    model.eval()
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def log_p(weights, row):
        return torch.func.functional_call(model, weights, (row,)).log_softmax(-1)

    jacobians = torch.func.vmap(torch.func.jacrev(log_p), (None, 0))(parameters, inputs)
    p = model(inputs).softmax(-1).detach()
    return {name: torch.einsum("nc,nc...->...", p, each.square()) / len(p) for name, each in jacobians.items()}


def exact_by_weighted_roots(model, inputs):
    """√p · ∂ log p squared is p · g²; on a copy, in float64."""
    model = copy.deepcopy(model).double().eval()
    names, parameters = zip(*model.named_parameters(), strict=True)
    log_p = model(inputs.double()).log_softmax(-1)
    values = (log_p.detach().exp().sqrt() * log_p).flatten()
    rows = [torch.autograd.grad(value, parameters, retain_graph=True) for value in values]
    return {name: sum(row[i] ** 2 for row in rows) / len(inputs) for i, name in enumerate(names)}


@pytest.mark.parametrize("answer", [exact_by_backward, exact_by_functional_jacobian, exact_by_weighted_roots])
def test_exact_fisher_passes_in_other_styles(answer):
    assert fisher.exact_fisher(answer) is answer


def one_label(choose):
    """Return an estimate from one label for each example, which ``choose`` takes from its probabilities [C]."""

    def answer(model, inputs):
        model.eval()
        names, parameters = zip(*model.named_parameters(), strict=True)
        total = [torch.zeros_like(parameter) for parameter in parameters]
        for row in inputs:
            log_p = model(row).log_softmax(-1)
            gradients = torch.autograd.grad(log_p[choose(log_p.detach().exp())], parameters)
            total = [one + g.square() / len(inputs) for one, g in zip(total, gradients, strict=True)]
        return dict(zip(names, total, strict=True))

    return answer


def expected_gradient_squared(model, inputs):
    model.eval()
    names, parameters = zip(*model.named_parameters(), strict=True)
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for row in inputs:
        log_p = model(row).log_softmax(-1)
        gradients = torch.autograd.grad((log_p.detach().exp() * log_p).sum(), parameters)
        total = [one + g.square() / len(inputs) for one, g in zip(total, gradients, strict=True)]
    return dict(zip(names, total, strict=True))


def exact_with_live_probabilities(model, inputs):
    found = exact_by_backward(model, inputs)
    p = model(inputs).softmax(-1).sum(-1).mean()  # is 1, and hangs on a graph
    return {name: p * each for name, each in found.items()}


def exact_in_training_mode(model, inputs):
    model.eval = lambda: model
    return exact_by_backward(model, inputs)


def exact_after_a_step(model, inputs):
    found = exact_by_backward(model, inputs)
    with torch.no_grad():
        model.first.bias += 0.1
    return found


def exact_with_gradients_left(model, inputs):
    found = exact_by_backward(model, inputs)
    model(inputs).sum().backward()
    return found


def exact_that_freezes(model, inputs):
    found = exact_by_backward(model, inputs)
    model.requires_grad_(False)
    return found


def exact_without_gradients(model, inputs):
    model.eval()
    with torch.no_grad():
        return torch.autograd.grad(model(inputs).sum(), list(model.parameters()))


def exact_through_the_graph_twice(model, inputs):
    model.eval()
    log_p = model(inputs).log_softmax(-1)
    for value in log_p.flatten():
        torch.autograd.grad(value, list(model.parameters()))


def each_of(change):
    return changed(exact_by_backward, lambda found: {name: change(each) for name, each in found.items()})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (one_label(lambda p: int(torch.multinomial(p, 1))), "differ from one run to the next.*“sample”"),
        (one_label(lambda p: int(np.random.choice(len(p)))), "differ from one run to the next"),
        (expected_gradient_squared, "zero everywhere, but for rounding. Was the expected gradient squared"),
        (one_label(lambda p: int(p.argmax())), "only the most probable class was used"),
        (one_label(lambda p: 0), "where"),
        (one_label(lambda p: int(p.argmin())), "where"),
        (exact_with_live_probabilities, "still hangs on a graph"),
        (each_of(lambda x: x.half()), "is torch.float16.*Accumulate in float32"),
        (each_of(lambda x: x.bfloat16()), "is torch.bfloat16.*Accumulate in float32"),
        (exact_in_training_mode, r"in training mode.*model\.eval\(\)"),
        (exact_after_a_step, r"changed the model: first\.bias"),
        (exact_with_gradients_left, "left gradients in the model"),
        (exact_that_freezes, "changed requires_grad"),
        (exact_without_gradients, "Gradients are needed here"),
        (exact_through_the_graph_twice, "retain_graph=True, or run the forward pass anew"),
        (each_of(lambda x: -x), "negative entries"),
        (each_of(lambda x: x * torch.nan), "is NaN"),
        (each_of(torch.zeros_like), "zero everywhere"),
        (lambda model, inputs: {}, "lacks 'first.weight'; it has nothing"),
        (each_of(torch.sum), r"has shape \(\), but must have"),
        (each_of(lambda x: 4 * x), "4 times what it should be, everywhere"),
        (each_of(torch.sqrt), "square root of the mean of squares"),
        (each_of(lambda x: x.clamp(max=0.05)), "where"),
        (changed(exact_by_backward, lambda f: {k: v for k, v in f.items() if "bias" not in k}), "lacks 'first.bias'"),
        (changed(exact_by_backward, lambda f: {**f, "third": f["first.bias"]}), "'third' that does not belong"),
        (changed(exact_by_backward, lambda f: list(f.values())), "must be a dictionary"),
        (changed(exact_by_backward, lambda f: {k: v.tolist() for k, v in f.items()}), "must be a tensor, not list"),
        (lambda model, inputs: exact_by_backward(model, inputs[:3]), "where"),
    ],
)
def test_other_wrong_exact_fishers_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        fisher.exact_fisher(answer)


# 2.3 A strength for another scale ------------------------------------------------------------------------------------


def strength_by_sums(strength, importance, other):
    """Both have the same shapes, so that sums stand in the same ratio as means."""
    return strength * sum(x.sum().item() for x in importance.values()) / sum(x.sum().item() for x in other.values())


def strength_by_flattening(strength, importance, other):
    means = [torch.cat([x.reshape(-1) for x in each.values()]).mean() for each in (importance, other)]
    return strength * means[0] / means[1]


def strength_by_numpy(strength, importance, other):
    one, two = (np.concatenate([x.numpy().ravel() for x in each.values()]).mean() for each in (importance, other))
    return np.float64(strength / (two / one))


@pytest.mark.parametrize("answer", [strength_by_sums, strength_by_flattening, strength_by_numpy])
def test_strength_passes_in_other_styles(answer):
    assert fisher.matched_strength(answer) is answer


def strength_with(change):
    return changed(strength_by_sums, change)


def strength_by(size):
    """Return the strength from a ratio of sizes of the flattened importances."""

    def answer(strength, importance, other):
        one, two = (torch.cat([x.flatten() for x in each.values()]) for each in (importance, other))
        return strength * size(one) / size(two)

    return answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda *a: None, "the strength is None"),
        (strength_with(lambda x: [x, x]), r"has shape \(2,\)"),
        (strength_with(lambda x: {"strength": x}), "not a value of type dict"),
        (strength_with(lambda x: x * float("nan")), "is NaN"),
        (strength_with(lambda x: x * float("inf")), "is inf where"),
        (strength_with(lambda x: 2 * x), "2 times what it should be"),
        (strength_with(lambda x: -x), "-1 times what it should be"),
        (strength_with(lambda x: 0.0), "0 times what|is 0 where"),
        (strength_with(lambda x: x + 1), "where"),
        (strength_with(round), "where"),
        (strength_with(lambda x: x**0.5), "where"),
        (lambda s, i, o: s, "was not changed"),
        (lambda s, i, o: 1 / strength_by_sums(s, i, o), "where"),
        (lambda s, i, o: strength_by_sums(s, o, o), "was not changed"),
        (lambda s, i, o: s - strength_by_sums(1.0, i, o), "where"),
        (lambda s, i, o: s * strength_by_sums(1.0, i, o) ** 2, "ratio's square"),
        (strength_by(torch.std), "standard deviations are compared"),
        (strength_by(torch.min), "smallest entries are compared"),
        (strength_by(lambda x: x.square().sum()), "squares are compared"),
        (strength_by(lambda x: x.log().mean()), "is right"),
        (strength_by(lambda x: x[x > 1e-3].mean()), "is right"),
        (lambda s, i, o: {k: s * i[k] / o[k] for k in i}, "not a value of type dict"),
        (lambda s, i, o: s * i.mean() / o.mean(), "stopped with AttributeError"),
        (lambda s, i, o: s * sum(x.mean() for x in i) / len(i), "stopped with AttributeError"),
    ],
)
def test_other_wrong_strengths_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        fisher.matched_strength(answer)
