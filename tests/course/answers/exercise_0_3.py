"""Answers to exercise 0.3: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "0.3", "shows_forgetting"

RIGHT = [
    '''
def shows_forgetting(experiment):
    """Whether the old task is tested on test data, just after it was learned and after something else."""
    learned, tested, moments = experiment["learned"], experiment["tested"], experiment["tested after"]
    if tested not in learned or experiment["split"] != "test":
        return False
    later = [task for task in learned[learned.index(tested) + 1 :] if task != tested]
    return tested in moments and any(task in moments for task in later)
''',
    """
def shows_forgetting(experiment):
    order = list(experiment["learned"])
    if experiment["split"] == "test" and experiment["tested"] in order:
        first = order.index(experiment["tested"])
        before = experiment["tested"] in experiment["tested after"]
        later = {task for task in order[first:] if task != experiment["tested"]}
        return before and not later.isdisjoint(experiment["tested after"])
    return False
""",
    """
def shows_forgetting(experiment):
    def after(task):
        return task in experiment["tested after"]

    seen = False
    found = False
    for task in experiment["learned"]:
        found = found or (seen and task != experiment["tested"] and after(task))
        seen = seen or task == experiment["tested"]
    return np.bool_(found and after(experiment["tested"]) and experiment["split"] == "test")
""",
]

WRONG = [
    ('or experiment["split"] != "test"', ""),
    ('experiment["split"] != "test"', 'experiment["split"] == "test"'),
    ("tested in moments and any(", "any("),
    ("tested in moments and any(task in moments for task in later)", "tested in moments"),
    ("tested in moments and any(task in moments for task in later)", "tested in moments and bool(later)"),
    ("tested in moments and any(task in moments for task in later)", "len(moments) > 1"),
    ("tested in moments and any(", "tested in moments or any("),
    ("any(task", "all(task"),
    ("learned.index(tested) + 1 :", ": learned.index(tested)"),
    ("return tested in moments", "return tested not in moments"),
    (" if task != tested]", "]"),
    ("return False", "return None"),
]
