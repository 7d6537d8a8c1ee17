"""Answers to exercise 8.3: right ones in three styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "8.3", "lost_and_gained"

RIGHT = [
    '''
def lost_and_gained(before, after, chance):
    """Shares of all items, corrected for guessing."""
    n = len(before)
    lost = sum(b and not a for b, a in zip(before, after)) / n
    gained = sum(a and not b for b, a in zip(before, after)) / n
    wrong = sum(not b and not a for b, a in zip(before, after)) / n
    unknown = wrong / (1 - chance) ** 2
    luck = chance * (1 - chance) * unknown
    return (lost - luck) / (1 - chance), (gained - luck) / (1 - chance)
''',
    """
def lost_and_gained(before, after, chance):
    b, a = np.array(before), np.array(after)
    c, u = chance, np.mean(~b & ~a) / (1 - chance) ** 2
    return np.mean(b & ~a) / (1 - c) - c * u, np.mean(~b & a) / (1 - c) - c * u
""",
    """
def lost_and_gained(before, after, chance):
    counts = {"lost": 0, "gained": 0, "never": 0, "kept": 0}
    for first, second in zip(before, after):
        if first:
            counts["kept" if second else "lost"] += 1
        else:
            counts["gained" if second else "never"] += 1
    known = 1 - chance
    total = sum(counts.values()) * known * known
    return [(known * counts[which] - chance * counts["never"]) / total for which in ("lost", "gained")]
""",
]

RETURN = "(lost - luck) / (1 - chance), (gained - luck) / (1 - chance)"

WRONG = [
    ("luck = chance * (1 - chance) * unknown", "luck = 0"),
    ("luck = chance * (1 - chance) * unknown", "luck = chance"),
    ("luck = chance * (1 - chance) * unknown", "luck = chance * unknown"),
    ("luck = chance * (1 - chance) * unknown", "luck = chance**2 * unknown"),
    ("luck = chance * (1 - chance) * unknown", "luck = chance * wrong"),
    ("(1 - chance) ** 2", "(1 - chance)"),
    ("(1 - chance) ** 2", "(1 - chance**2)"),
    ("unknown = wrong / (1 - chance) ** 2", "unknown = 1 - lost - gained"),
    ("not b and not a for", "a and b for"),
    ("b and not a for b, a in zip(before, after)", "b for b, a in zip(before, after)"),
    ("n = len(before)", "n = max(sum(before), 1)"),
    ("n = len(before)", "n = 1"),
    ("n = len(before)", "n = 2 * len(before)"),
    (RETURN, "lost - luck, gained - luck"),
    (RETURN, "lost, gained"),
    (RETURN, "(gained - luck) / (1 - chance), (lost - luck) / (1 - chance)"),
    (RETURN, "lost / (1 - chance), gained / (1 - chance)"),
    (RETURN, "lost / (1 - chance) - luck, gained / (1 - chance) - luck"),
    (RETURN, "max((lost - luck) / (1 - chance), 0), max((gained - luck) / (1 - chance), 0)"),
    (RETURN, "abs(lost - luck) / (1 - chance), abs(gained - luck) / (1 - chance)"),
    (RETURN, "(lost + luck) / (1 - chance), (gained + luck) / (1 - chance)"),
    (RETURN, "(lost - luck) / (1 - chance), gained / (1 - chance)"),
    (RETURN, "(lost - gained) / (1 - chance), (gained - lost) / (1 - chance)"),
    (RETURN, "(lost - luck) / (1 - chance)"),
]
