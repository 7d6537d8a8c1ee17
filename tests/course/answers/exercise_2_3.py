"""Answers to exercise 2.3: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "2.3", "matched_strength"

RIGHT = [
    '''
def matched_strength(strength, importance, other):
    """The strength that means with `other` what `strength` means with `importance`."""
    one = torch.cat([t.flatten() for t in importance.values()]).double().mean()
    two = torch.cat([t.flatten() for t in other.values()]).double().mean()
    return float(strength * one / two)
''',
    """
def matched_strength(strength, importance, other):
    total = lambda values: sum(float(each.sum()) for each in values.values())
    return strength * total(importance) / total(other)
""",
    """
def matched_strength(strength, importance, other):
    means = []
    for tensors in (importance, other):
        flat = np.concatenate([np.asarray(each, dtype=np.float64).ravel() for each in tensors.values()])
        means.append(flat.mean())
    return means[0] / means[1] * strength
""",
]

WRONG = [
    ("strength * one / two", "strength * two / one"),
    ("strength * one / two", "one / two"),
    ("strength * one / two", "strength * (one - two)"),
    ("strength * one / two", "strength * (one / two) ** 2"),
    ("strength * one / two", "strength * (one / two).sqrt()"),
    ("strength * one / two", "strength"),
    (".double().mean()\n    two", ".double().max()\n    two"),
    (".double().mean()", ".double().median()"),
    (".double().mean()", ".double().std()"),
    (".double().mean()", ".double().norm()"),
    (".double().mean()", ".double().square().mean()"),
    ("torch.cat([t.flatten() for t in importance.values()])", "next(iter(importance.values()))"),
    ("t.flatten() for t in importance.values()", "t.mean()[None] for t in importance.values()"),
    ("float(strength * one / two)", "{name: strength * one / two for name in other}"),
]
