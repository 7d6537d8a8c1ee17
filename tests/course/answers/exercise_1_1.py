"""Answers to exercise 1.1: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "1.1", "transfer_and_forgetting"

RIGHT = [
    '''
def transfer_and_forgetting(results):
    """Backward transfer, then forgetting."""
    tasks = len(results)
    transfer, lost = [], []
    for task in range(tasks - 1):
        before = [row[task] for row in results[: tasks - 1] if not np.isnan(row[task])]
        transfer.append(results[-1][task] - results[task][task])
        lost.append(max(before) - results[-1][task])
    return sum(transfer) / (tasks - 1), sum(lost) / (tasks - 1)
''',
    """
def transfer_and_forgetting(results):
    matrix = np.array(results, dtype=np.float64)
    end = matrix[-1, :-1]
    peak = np.nanmax(matrix[:-1, :-1], axis=0)
    return np.average(end - matrix.diagonal()[:-1]), np.average(peak - end)
""",
    """
def transfer_and_forgetting(results):
    matrix = torch.from_numpy(results.copy())
    gone = matrix[:-1, :-1].nan_to_num(nan=-1.0).max(dim=0).values - matrix[-1, :-1]
    return [(matrix[-1] - matrix.diagonal())[:-1].mean(), gone.mean()]
""",
]

WRONG = [
    ("range(tasks - 1)", "range(tasks)"),
    ("range(tasks - 1)", "range(1, tasks)"),
    ("results[: tasks - 1]", "results"),
    ("max(before)", "min(before)"),
    ("max(before)", "before[0]"),
    ("max(before)", "before[-1]"),
    ("max(before)", "sum(before) / len(before)"),
    ("results[-1][task] - results[task][task]", "results[task][task] - results[-1][task]"),
    ("results[-1][task] - results[task][task]", "results[task + 1][task] - results[task][task]"),
    ("sum(lost) / (tasks - 1)", "sum(lost) / tasks"),
    ("sum(lost) / (tasks - 1)", "max(lost)"),
    ("sum(lost) / (tasks - 1)", "sum(map(abs, lost)) / (tasks - 1)"),
    ("sum(transfer) / (tasks - 1), sum(lost) / (tasks - 1)", "sum(lost) / (tasks - 1), sum(transfer) / (tasks - 1)"),
    (" if not np.isnan(row[task])", ""),
]
