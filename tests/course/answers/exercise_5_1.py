"""Answers to exercise 5.1: right ones in three styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "5.1", "low_rank_update"

RIGHT = [
    '''
def low_rank_update(A, B, alpha, conv1d):
    """(alpha / r) B A."""
    rank = A.shape[0]
    scale = alpha / rank
    update = scale * (B @ A)
    if conv1d:
        update = update.T
    return update
''',
    """
def low_rank_update(A, B, alpha, conv1d):
    pattern = "ri,or->io" if conv1d else "ri,or->oi"
    return torch.einsum(pattern, A, B).mul(alpha).div(len(A))
""",
    """
def low_rank_update(A, B, alpha, conv1d):
    total = torch.zeros(B.size(0), A.size(1), dtype=A.dtype)
    for k in range(A.size(0)):
        total += torch.outer(B[:, k], A[k])
    total *= alpha / B.size(1)
    return total.transpose(0, 1).contiguous() if conv1d else total
""",
]

WRONG = [
    ("A.shape[0]", "A.shape[1]"),
    ("A.shape[0]", "B.shape[0]"),
    ("A.shape[0]", "A.numel()"),
    ("alpha / rank", "alpha"),
    ("alpha / rank", "1 / rank"),
    ("alpha / rank", "alpha * rank"),
    ("alpha / rank", "rank / alpha"),
    ("alpha / rank", "alpha / rank**0.5"),
    ("alpha / rank", "alpha // rank"),
    ("scale * (B @ A)", "(scale * B) @ (scale * A)"),
    ("B @ A", "A.T @ B.T"),
    ("B @ A", "A @ B"),
    ("if conv1d", "if not conv1d"),
    ("if conv1d", "if False"),
    ("if conv1d", "if True"),
    ("if conv1d", "if conv1d and update.shape[0] != update.shape[1]"),
    ("if conv1d", "if update.shape[0] < update.shape[1]"),
    ("update.T", "update.reshape(update.shape[1], update.shape[0])"),
    ("    return update", "    print(update)"),
]
