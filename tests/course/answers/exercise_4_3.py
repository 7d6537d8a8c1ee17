"""Answers to exercise 4.3: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "4.3", "online_importance"

RIGHT = [
    '''
def online_importance(fishers, decay):
    """F* after the last task."""
    total = {}
    for fisher in fishers:
        total = {name: decay * value for name, value in total.items()}
        for name, value in fisher.items():
            total[name] = total.get(name, 0) + value
    return total
''',
    """
def online_importance(fishers, decay):
    names = {name for fisher in fishers for name in fisher}
    return {
        name: sum(decay ** (len(fishers) - 1 - t) * f[name] for t, f in enumerate(fishers) if name in f)
        for name in names
    }
""",
    """
def online_importance(fishers, decay):
    from functools import reduce

    def join(old, new):
        return {n: decay * old.get(n, torch.tensor(0.0)) + new.get(n, torch.tensor(0.0)) for n in {**old, **new}}

    return reduce(join, fishers, {})
""",
]

WRONG = [
    ("decay * value for", "value for"),
    ("decay * value for", "(1 - decay) * value for"),
    ("decay * value for", "decay**2 * value for"),
    ("decay * value for", "value / decay for"),
    ("total.get(name, 0) + value", "value"),
    ("total.get(name, 0) + value", "total.get(name, 0) + decay * value"),
    ("total.get(name, 0) + value", "total.get(name, 0) + (1 - decay) * value"),
    ("total.get(name, 0) + value", "total.get(name, 0) + value**2"),
    ("total.get(name, 0) + value", "torch.maximum(total.get(name, value), value)"),
    ("return total", "return {name: value / len(fishers) for name, value in total.items()}"),
    ("return total", "return {name: total[name] for name in fishers[-1]}"),
    ("return total", "return {name: total[name] for name in fishers[0]}"),
    ("in fishers:", "in reversed(fishers):"),
    ("in fishers:", "in fishers[1:]:"),
    ("in fishers:", "in fishers[:-1]:"),
]
