"""Answers to exercise 0.2: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "0.2", "average_accuracy"

RIGHT = [
    '''
def average_accuracy(results):
    """The mean over the tasks at the end."""
    end = results[-1]
    return end.sum() / len(end)
''',
    """
def average_accuracy(results):
    total = 0.0
    for task in range(results.shape[1]):
        total += float(results[results.shape[0] - 1, task])
    return total / results.shape[1]
""",
    """
def average_accuracy(results):
    return torch.from_numpy(results)[-1].mean()
""",
]

WRONG = [
    ("results[-1]", "results[:, -1]"),
    ("results[-1]", "results[1]"),
    ("results[-1]", "results[0]"),
    ("results[-1]", "results[-1, :-1]"),
    ("results[-1]", "results[-1, 1:]"),
    ("results[-1]", "results.max(axis=0)"),
    ("results[-1]", "np.diagonal(results)"),
    ("end.sum() / len(end)", "end.sum()"),
    ("end.sum() / len(end)", "end.sum() / (len(end) - 1)"),
    ("end.sum() / len(end)", "end.sum() / 2"),
    ("end.sum() / len(end)", "np.median(end)"),
    ("end.sum() / len(end)", "list(end)"),
]
