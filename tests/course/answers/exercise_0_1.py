"""Answers to exercise 0.1: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "0.1", "share_lost"

RIGHT = [
    '''
def share_lost(before, after, chance):
    """The share of what was learned above chance that is gone."""
    learned = before - chance
    lost = before - after
    return lost / learned
''',
    """
def share_lost(before, after, chance):
    kept = (after - chance) / (before - chance)
    return 1.0 - kept
""",
    """
share_lost = lambda before, after, chance: torch.tensor(before - after, dtype=torch.float64) / (before - chance)
""",
]

WRONG = [
    ("learned = before - chance", "learned = before + chance"),
    ("learned = before - chance", "learned = after - chance"),
    ("learned = before - chance", "learned = 1 - before"),
    ("lost = before - after", "lost = before - after - chance"),
    ("lost = before - after", "lost = before - chance"),
    ("lost / learned", "learned / lost"),
    ("lost / learned", "round(lost / learned)"),
    ("lost / learned", "int(100 * lost / learned)"),
    ("lost / learned", "(lost / learned) ** 2"),
    ("lost / learned", "f'{lost / learned:.0%}'"),
    ("lost / learned", "min(1.0, max(0.0, lost / learned))"),
    ("lost / learned", "lost"),
]
