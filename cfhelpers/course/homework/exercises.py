"""What exercises there are: read from the chapters' sources, nothing kept twice."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

_HEADING = re.compile(r"### Exercise (?P<number>[\w.]+) · (?P<title>.+?) +(?P<stars>★[★☆]*) +(?P<minutes>\d+) minutes?")


@dataclass(frozen=True)
class Listed:
    """One exercise as a teacher sees it.

    Attributes:
        number: For instance "3.1".
        chapter: Stem of the source, for instance "03_ewc_on_dialogpt".
        title: From its heading, as are ``stars`` and ``minutes``.
        stars: Difficulty, from one to three.
        minutes: How long it takes.
        points: As the source's graded cell says.
        answer: The function or class that the learner writes.
        check: The cell that checks it.
    """

    number: str
    chapter: str
    title: str
    stars: str
    minutes: int
    points: float
    answer: str
    check: str


def read(source: Path) -> list[Listed]:
    """Read a chapter's exercises, in order.

    Raises:
        ValueError: An exercise has no heading with its minutes, no check, or no graded cell.
    """
    import jupytext

    return [
        _listed(cell, index, jupytext.read(source, fmt="py:percent").cells, source) for index, cell in _marked(source)
    ]


def sources(root: Path, names: Sequence[str] = ()) -> list[Path]:
    """Return the chapters' sources whose names begin with one of ``names``, or all.

    Raises:
        ValueError: A name fits no chapter.
    """
    paths = sorted((root / "notebooks" / "source").glob("[0-9][0-9]_*.py"))
    for name in names:
        if not any(path.name.startswith(name) for path in paths):
            there = ", ".join(path.name[:2] for path in paths)
            raise ValueError(f"no chapter begins with {name!r}; there are {there}")
    return [path for path in paths if not names or path.name.startswith(tuple(names))]


def table(found: Sequence[Listed]) -> str:
    """Lay out one line per exercise, with the sums of points and minutes below."""
    width = max((len(each.title) for each in found), default=8)
    lines = [f"exercise  {'what':<{width}}  difficulty  minutes  points"]
    chapter = ""
    for each in found:
        if each.chapter != chapter:
            chapter = each.chapter
            lines.append(chapter)
        lines.append(f"  {each.number:<6}  {each.title:<{width}}  {each.stars:<10}  {each.minutes:7}  {each.points:6g}")
    total = sum(each.minutes for each in found), sum(each.points for each in found)
    lines.append(f"  {'all':<6}  {'':<{width}}  {'':<10}  {total[0]:7}  {total[1]:6g}")
    return "\n".join(lines)


def checked_name(code: str) -> str | None:
    """Return what a check cell checks, ``fisher`` in ``fisher = checks.ewc.fisher(fisher)``; None of another cell."""
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return None
    match body:
        case [ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function, args=[ast.Name(id=given)]))] if (
            ast.unparse(function).startswith("checks.") and name == given
        ):
            return name
    return None


def _marked(source: Path) -> list[tuple[int, NotebookNode]]:
    import jupytext

    cells = jupytext.read(source, fmt="py:percent").cells
    return [(index, cell) for index, cell in enumerate(cells) if "exercise" in cell.metadata]


def _listed(cell: NotebookNode, index: int, cells: Sequence[NotebookNode], source: Path) -> Listed:
    number = cell.metadata["exercise"]
    headings = [
        match for each in cells[:index] if (match := _HEADING.search(each.source)) and match["number"] == number
    ]
    checks = [each.source for each in cells[index:] if each.cell_type == "code" and checked_name(each.source)]
    graded = [each for each in cells if each.metadata.get("graded") == number]
    for what, there in (("a heading with its minutes", headings), ("a check cell", checks), ("a graded cell", graded)):
        if not there:
            raise ValueError(f"{source.name}: exercise {number} has not {what}")
    return Listed(
        number=number,
        chapter=source.stem,
        title=headings[-1]["title"],
        stars=headings[-1]["stars"],
        minutes=int(headings[-1]["minutes"]),
        points=float(graded[0].metadata.get("points", 1)),
        answer=str(checked_name(checks[0])),
        check=checks[0],
    )
