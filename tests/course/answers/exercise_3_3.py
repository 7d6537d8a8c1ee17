"""Answers to exercise 3.3: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "3.3", "ElasticPenalty"

RIGHT = [
    '''
class ElasticPenalty:
    """(strength / 2) · Σ importance · (weight − anchor)²."""

    def __init__(self, model, importance, strength):
        self.half = strength / 2
        self.importance = importance
        self.anchor = {name: model.get_parameter(name).detach().clone() for name in importance}

    def value(self, model):
        total = 0.0
        for name, weight in self.importance.items():
            distance = model.get_parameter(name) - self.anchor[name]
            total = total + (weight * distance**2).sum()
        return self.half * total
''',
    """
class ElasticPenalty:
    def __init__(self, model, importance, strength):
        state = dict(model.named_parameters())
        if set(importance) - set(state):
            raise KeyError(f"no parameters {sorted(set(importance) - set(state))}")
        self.pull = {name: strength * F for name, F in importance.items()}
        self.anchor = {name: state[name].data.clone() for name in importance}

    def value(self, model):
        state = dict(model.named_parameters())
        gaps = {n: (state[n] - self.anchor[n]).square() for n in self.pull}
        return sum(torch.vdot(F.flatten(), gaps[n].flatten()) for n, F in self.pull.items()) / 2
""",
    """
import copy


class ElasticPenalty(torch.nn.Module):
    def __init__(self, model, importance, strength):
        super().__init__()
        self.before = [copy.deepcopy(model)]
        self.strength, self.importance = strength, importance

    def value(self, model):
        parts = []
        for name in self.importance:
            gap = model.get_parameter(name) - self.before[0].get_parameter(name).detach()
            parts.append(torch.sum(self.importance[name] * gap * gap))
        return 0.5 * self.strength * sum(parts)
""",
]

WRONG = [
    (".detach().clone()", ".detach()"),
    (".detach().clone()", ""),
    (".detach().clone()", ".clone()"),
    (".detach().clone() for", ".detach().clone().zero_() for"),
    ("strength / 2", "strength"),
    ("strength / 2", "0.5"),
    ("strength / 2", "strength / 4"),
    ("strength / 2", "strength**2 / 2"),
    ("strength / 2", "-strength / 2"),
    ("weight * distance**2", "distance**2"),
    ("weight * distance**2", "weight * distance"),
    ("weight * distance**2", "weight * distance.abs()"),
    ("weight * distance**2", "(weight * distance) ** 2"),
    ("weight * distance**2", "weight.sqrt() * distance**2"),
    ("(weight * distance**2).sum()", "(weight * distance**2).mean()"),
    ("(weight * distance**2).sum()", "weight.sum() * (distance**2).sum()"),
    ("total = total + ", "total = "),
    ("self.half * total", "self.half * total.item()"),
    ("self.half * total", "self.half * total.detach()"),
    ("self.half * total", "(self.half * total).sqrt()"),
]
