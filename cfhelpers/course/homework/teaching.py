"""The tables of ``notebooks/TEACHING.md`` that are generated: they stand between marks and are written anew."""

import re
from pathlib import Path

from cfhelpers.course.homework import exercises
from cfhelpers.course.homework.judging import exercise_of


def update(root: Path) -> None:
    """Write the table of the exercises and what each is for.

    Raises:
        ValueError: The page has no place for it.
    """
    replace(root / "notebooks" / "TEACHING.md", "exercises", goals(root))


def goals(root: Path) -> str:
    """Return the table: one line per exercise, with what a solved one has been shown to do."""
    lines = ["| exercise | difficulty | minutes | points | who solves it has shown that |", "|---|---|---|---|---|"]
    for source in exercises.sources(root):
        for each in exercises.read(source):
            goal = exercise_of(each.number).verified
            lines.append(f"| {each.number} {each.title} | {each.stars} | {each.minutes} | {each.points:g} | {goal} |")
    return "\n".join(lines)


def replace(page: Path, name: str, content: str) -> None:
    """Write something between a page's marks ``<!-- name: begin -->`` and ``<!-- name: end -->``.

    Raises:
        ValueError: The page has no such marks.
    """
    text = page.read_text(encoding="utf-8")
    pattern = rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)"
    new, count = re.subn(pattern, lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{page.name} has no marks “{name}: begin” and “{name}: end”")
    page.write_text(new, encoding="utf-8")


def current(page: Path, name: str) -> str:
    """Return what stands between a page's marks."""
    match = re.search(rf"<!-- {name}: begin -->\n\n(.*?)\n\n<!-- {name}: end -->", page.read_text("utf-8"), re.DOTALL)
    return match[1] if match else ""
