"""Answers to exercise 8.2: right ones in three styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "8.2", "second_order_kl"

RIGHT = [
    '''
def second_order_kl(logits, slopes):
    """Half the variance of the slopes under the old predictions, the mean over targets."""
    p = torch.softmax(logits, dim=-1)
    mean = (p * slopes).sum(dim=-1)
    square = (p * slopes**2).sum(dim=-1)
    return 0.5 * (square - mean**2).mean()
''',
    """
def second_order_kl(logits, slopes):
    weights = logits.log_softmax(1).exp()
    centred = slopes - (weights * slopes).sum(1, keepdim=True)
    return torch.sum(weights * centred * centred) / (2 * len(logits))
""",
    """
def second_order_kl(logits, slopes):
    total = 0.0
    for row, slope in zip(logits, slopes):
        p = row.softmax(0)
        fisher = torch.diag(p) - torch.outer(p, p)
        total += (slope @ fisher @ slope).item() / 2
    return total / logits.shape[0]
""",
]

WRONG = [
    ("0.5 * ", ""),
    ("0.5 * ", "2 * "),
    ("0.5 * ", "0.25 * "),
    ("0.5 * ", "-0.5 * "),
    (" - mean**2", ""),
    (" - mean**2", " + mean**2"),
    (" - mean**2", " - mean"),
    (" - mean**2", " - mean.mean() ** 2"),
    ("(square - mean**2)", "(square - mean**2).sqrt()"),
    ("square - mean**2", "mean**2"),
    ("(square - mean**2)", "slopes.var(dim=-1)"),
    ("(square - mean**2)", "slopes.square().sum(dim=-1)"),
    ("(square - mean**2).mean()", "(square - mean**2).sum()"),
    ("(square - mean**2).mean()", "(square - mean**2)"),
    ("(square - mean**2).mean()", "(square - mean**2).max()"),
    ("(square - mean**2).mean()", "(square - mean**2).mean() / logits.shape[-1]"),
    ("logits, dim=-1)", "logits, dim=0)"),
    ("logits, dim=-1)", "slopes, dim=-1)"),
    ("logits, dim=-1)", "logits + slopes, dim=-1)"),
    ("torch.softmax(logits, dim=-1)", "torch.sigmoid(logits)"),
    ("torch.softmax(logits, dim=-1)", "torch.log_softmax(logits, dim=-1)"),
    ("torch.softmax(logits, dim=-1)", "torch.full_like(logits, 1 / logits.shape[-1])"),
    ("p * slopes**2", "(p * slopes) ** 2"),
    (".sum(dim=-1)", ".mean(dim=-1)"),
]
