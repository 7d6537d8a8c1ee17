"""Answers to exercise 5.2: right ones in four styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "5.2", "mean_of_updates"

RIGHT = [
    '''
def mean_of_updates(adapters, alpha):
    """The mean over adapters of (alpha / r) B A."""
    total = 0.0
    for A, B in adapters:
        total = total + alpha / A.shape[0] * (B @ A)
    return total / len(adapters)
''',
    """
def mean_of_updates(adapters, alpha):
    tall = torch.cat([A for A, _ in adapters])
    wide = torch.cat([B * (alpha / B.shape[1]) for _, B in adapters], dim=1)
    return (wide / len(adapters)) @ tall
""",
    """
def mean_of_updates(adapters, alpha):
    def update(pair):
        A, B = pair
        return torch.einsum("or,ri->oi", B, A) * alpha / len(A)

    return torch.mean(torch.stack(list(map(update, adapters))), 0)
""",
    """
def mean_of_updates(adapters, alpha):
    rank = adapters[0][0].shape[0]
    A, B = (torch.stack(each) for each in zip(*adapters))
    return torch.bmm(B, A).mean(0) * (alpha / rank)
""",
]

LOOP = """    for A, B in adapters:
        total = total + alpha / A.shape[0] * (B @ A)
    return total / len(adapters)
"""

WRONG = [
    ("total / len(adapters)", "total"),
    ("total / len(adapters)", "total / 2"),
    ("total / len(adapters)", "total / len(adapters) ** 0.5"),
    ("total / len(adapters)", "total / len(adapters) ** 2"),
    ("total / len(adapters)", "total / sum(len(A) for A, _ in adapters)"),
    ("total / len(adapters)", "total.mean()"),
    ("total = total + ", "total = "),
    ("alpha / A.shape[0]", "alpha"),
    ("alpha / A.shape[0]", "1 / A.shape[0]"),
    ("alpha / A.shape[0]", "alpha / A.shape[1]"),
    ("B @ A", "(B @ A).T"),
    ("B @ A", "A @ B"),
    ("in adapters:", "in adapters[1:]:"),
    ("in adapters:", "in adapters[:-1]:"),
    ("total = total + alpha / A.shape[0] * (B @ A)", "A *= alpha / A.shape[0]\n        total = total + B @ A"),
    (
        LOOP,
        """    A = sum(A for A, _ in adapters) / len(adapters)
    B = sum(B for _, B in adapters) / len(adapters)
    return alpha / len(A) * (B @ A)
""",
    ),
    (
        LOOP,
        """    A = torch.cat([A for A, _ in adapters])
    B = torch.cat([B for _, B in adapters], dim=1)
    return alpha / len(adapters[0][0]) * (B @ A)
""",
    ),
]
