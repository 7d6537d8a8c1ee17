"""Answers to exercise 7.3: right ones in three styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "7.3", "project"

RIGHT = [
    '''
def project(gradient, reference):
    """Take the part along the reference out, where the two conflict."""
    product = sum((gradient[n] * reference[n]).sum() for n in gradient)
    square = sum((r * r).sum() for r in reference.values())
    if product >= 0:
        return gradient
    factor = product / square
    return {n: gradient[n] - factor * reference[n] for n in gradient}
''',
    """
def project(gradient, reference):
    names = sorted(gradient)
    g = torch.cat([gradient[name].flatten() for name in names])
    r = torch.cat([reference[name].flatten() for name in names])
    g = g - torch.clamp(g @ r, max=0) / (r @ r) * r
    pieces = g.split([gradient[name].numel() for name in names])
    return {name: piece.view_as(gradient[name]) for name, piece in zip(names, pieces)}
""",
    """
def project(gradient, reference):
    def dot(one, other):
        return math.fsum((one[name].double() * other[name].double()).sum().item() for name in one)

    projected = {name: tensor.clone() for name, tensor in gradient.items()}
    if dot(gradient, reference) < 0:
        for name, tensor in projected.items():
            tensor.sub_(reference[name], alpha=dot(gradient, reference) / dot(reference, reference))
    return projected
""",
]

WRONG = [
    ("product >= 0", "product < 0"),
    ("product >= 0", "False"),
    ("product >= 0", "True"),
    ("product >= 0", "product >= -1000"),
    ("product >= 0:\n        return gradient", "product >= 0:\n        return reference"),
    ("product >= 0:\n        return gradient", "product >= 0:\n        return {}"),
    ("product >= 0:\n        return gradient", "product >= 0:\n        return None"),
    ("for n in gradient)", "for n in list(gradient)[:1])"),
    ("for n in gradient)", "for n in list(gradient)[-1:])"),
    ("(gradient[n] * reference[n]).sum()", "(gradient[n] * reference[n]).mean()"),
    ("(gradient[n] * reference[n]).sum()", "(gradient[n] * reference[n]).abs().sum()"),
    ("(gradient[n] * reference[n]).sum()", "(gradient[n] - reference[n]).sum()"),
    ("product / square", "product"),
    ("product / square", "-product / square"),
    ("product / square", "product / square**0.5"),
    ("product / square", "product / square**2"),
    ("product / square", "1 / square"),
    ("product / square", "1.0"),
    ("product / square", "product / sum((g * g).sum() for g in gradient.values())"),
    ("gradient[n] - factor * reference[n]", "reference[n] - factor * gradient[n]"),
    ("gradient[n] - factor * reference[n]", "gradient[n] - factor * gradient[n]"),
    ("gradient[n] - factor * reference[n]", "gradient[n] - factor"),
    ("gradient[n] - factor * reference[n]", "factor * reference[n]"),
    (
        "gradient[n] - factor * reference[n]",
        "gradient[n] - (gradient[n] * reference[n]).sum() / square * reference[n]",
    ),
    (
        "gradient[n] - factor * reference[n]",
        "gradient[n] - (gradient[n] * reference[n]).sum() / reference[n].square().sum() * reference[n]",
    ),
    ("gradient[n] - factor * reference[n]", "gradient[n] - factor * reference[n] + reference[n]"),
    ("gradient[n] - factor * reference[n]", "gradient[n] - factor * reference[n].mul_(1.5)"),
]
