"""Measure every check against every answer and write the table of ``notebooks/TEACHING.md``."""

from pathlib import Path

from cfhelpers.course.homework import exercises, teaching
from tests.course.answers import Answers, Verdict, all_answers, judge

ROOT = Path(__file__).resolve().parents[3]


def table() -> str:
    found = {each.number: each for each in all_answers()}
    rows = []
    for source in exercises.sources(ROOT):
        for each in exercises.read(source):
            answers = found.get(each.number, Answers(each.number, each.answer, [], []))
            exercise = answers.exercise
            known = [Verdict(exercise, judge(exercise, imitation(exercise, mistake))) for mistake in exercise.mistakes]
            wrong = [Verdict(exercise, judge(exercise, answers.build(code))) for code in answers.wrong]
            right = [judge(exercise, answers.build(code)) for code in answers.right]
            rows.append((each.number, each.title, known, wrong, right))
    return layout(rows)


def imitation(exercise, mistake):
    """Return an answer with one mistake: if the mistake spoils one part, the other part is right."""
    if not mistake.part:
        return mistake.imitate

    def answer(*inputs):
        right, wrong = exercise.reference(*inputs), mistake.imitate(*inputs)
        if not isinstance(right, tuple):  # a dictionary of parts: the imitation spoils one and leaves the rest right
            return wrong
        return (wrong[0], right[1]) if mistake.part == "backward transfer" else (right[0], wrong[1])

    return answer


def layout(rows) -> str:
    lines = [
        "| exercise | documented mistakes | of them named | other wrong answers | rejected | of them named | "
        "right answers accepted |",
        "|---|---|---|---|---|---|---|",
    ]
    sums = [0] * 7
    for number, title, known, wrong, right in rows:
        counts = [len(known), sum(v.named for v in known), len(wrong), sum(bool(v.message) for v in wrong)]
        counts += [sum(v.named for v in wrong), sum(not message for message in right), len(right)]
        sums = [one + other for one, other in zip(sums, counts, strict=True)]
        lines.append(f"| {number} {title} | " + " | ".join(map(str, counts[:5])) + f" | {counts[5]} of {counts[6]} |")
    lines.append("| all | " + " | ".join(map(str, sums[:5])) + f" | {sums[5]} of {sums[6]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    teaching.update(ROOT)
    teaching.replace(ROOT / "notebooks" / "TEACHING.md", "checks", table())
