"""Answers to exercise 6.3: right ones in three styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "6.3", "forward_transfer"

RIGHT = [
    '''
def forward_transfer(matrix, alone):
    """The mean gain of tasks 2 … T over learning each alone."""
    gains = []
    for task in range(1, len(matrix)):
        gains.append(matrix[task, task] - alone[task])
    return float(np.mean(gains))
''',
    """
def forward_transfer(matrix, alone):
    return np.average(np.diag(matrix)[1:] - alone[1:])
""",
    """
def forward_transfer(matrix, alone):
    total, T = 0, matrix.shape[0]
    for i, row in enumerate(matrix.tolist()):
        if i > 0:
            total += row[i] - alone.tolist()[i]
    return total / (T - 1)
""",
]

WRONG = [
    ("range(1, len(matrix))", "range(len(matrix))"),
    ("range(1, len(matrix))", "range(len(matrix) - 1)"),
    ("range(1, len(matrix))", "range(1, len(matrix) - 1)"),
    ("range(1, len(matrix))", "range(2, len(matrix))"),
    ("matrix[task, task]", "matrix[-1, task]"),
    ("matrix[task, task]", "matrix[task - 1, task]"),
    ("matrix[task, task]", "matrix[task, task - 1]"),
    ("matrix[task, task]", "matrix[task, 0]"),
    ("matrix[task, task]", "np.nanmax(matrix[:, task])"),
    ("matrix[task, task]", "np.nanmean(matrix[:, task])"),
    (" - alone[task]", ""),
    (" - alone[task]", " / alone[task]"),
    (" - alone[task]", " - alone[task - 1]"),
    (" - alone[task]", " - alone.mean()"),
    (" - alone[task]", " - matrix[-1, task]"),
    (" - alone[task]", " - matrix[0, 0]"),
    ("matrix[task, task] - alone[task]", "alone[task] - matrix[task, task]"),
    ("np.mean(gains)", "np.sum(gains)"),
    ("np.mean(gains)", "np.sum(gains) / len(matrix)"),
    ("np.mean(gains)", "np.mean(np.abs(gains))"),
    ("np.mean(gains)", "max(0, np.mean(gains))"),
    ("np.mean(gains)", "np.mean([gain > 0 for gain in gains])"),
]
