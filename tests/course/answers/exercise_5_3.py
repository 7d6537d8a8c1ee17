"""Answers to exercise 5.3: right ones in three styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "5.3", "overlap"

RIGHT = [
    '''
def overlap(A, old):
    """The sum over old adapters of the squared entries of A_i Aᵀ."""
    total = torch.zeros(())
    for each in old:
        total = total + (each @ A.T).square().sum()
    return total
''',
    """
def overlap(A, old):
    if not old:
        return A.new_zeros([])
    return torch.linalg.matrix_norm(A @ torch.cat(old).T) ** 2
""",
    """
def overlap(A, old):
    result = torch.tensor(0.0)
    for O in old:
        for row in O:
            for new in A:
                result = result + torch.dot(row, new) ** 2
    return result
""",
]

WRONG = [
    (".square().sum()", ".sum()"),
    (".square().sum()", ".abs().sum()"),
    (".square().sum()", ".square().mean()"),
    (".square().sum()", ".sum().square()"),
    (".square().sum()", ".square().sum().sqrt()"),
    (".square().sum()", ".square().sum().item()"),
    (".square().sum()", ".square().sum().detach()"),
    (".square().sum()", ".diagonal().square().sum()"),
    (".square().sum()", ".square().max()"),
    (".square().sum()", ".square().sum(dim=1)"),
    ("each @ A.T", "each * A"),
    ("each @ A.T", "each.T @ A"),
    ("each @ A.T", "each - A"),
    ("each @ A.T", "A @ A.T"),
    ("each @ A.T", "each @ A.detach().T"),
    ("each @ A.T", "torch.nn.functional.normalize(each) @ torch.nn.functional.normalize(A).T"),
    ("total = total + ", "total = "),
    ("in old:", "in old[-1:]:"),
    ("in old:", "in old[:1]:"),
    ("return total", "return total / max(len(old), 1)"),
    ("return total", "return 0.5 * total"),
    ("return total", "return torch.tensor(float(total))"),
]
