"""``python -m cfhelpers homework list | build | grade | check``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

DESCRIPTION = "make homework of the chapters, and grade it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what follows ``homework`` on the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list | build | grade | check")
    shown = actions.add_parser("list", help="show chapters, exercises, points and minutes")
    shown.add_argument("chapters", nargs="*", metavar="NN", help="chapters' numbers; all, if none is given")
    shown.add_argument("--table", action="store_true", help="write the exercises' table of notebooks/TEACHING.md anew")
    build = actions.add_parser("build", help="make an assignment's folder, or bring one up to date")
    build.add_argument("chapters", nargs="*", metavar="NN", help="chapters' numbers; those of the last build, if none")
    build.add_argument("--to", required=True, type=Path, metavar="FOLDER", help="the assignment's folder")
    build.add_argument("--name", help="of the assignment; the folder's, if not given")
    build.add_argument(
        "--exercises",
        metavar="3.1=2,3.2",
        help="only these exercises are graded, each with the points given or the chapter's own",
    )
    build.add_argument("--seed", type=int, help="of the notebooks' runs: other data and other numbers than last year's")
    build.add_argument("--for", dest="tool", choices=("nbgrader", "otter"), help="also write it for otter-grader")
    for name, text in (
        ("grade", "grade what is in FOLDER/submitted; writes FOLDER/grades.csv"),
        ("check", "see that the key gets all points of FOLDER and the untouched notebook none"),
    ):
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        action.add_argument("folder", type=Path, metavar="FOLDER")
        action.add_argument("--seconds", type=float, default=20.0, help="after which one cell is stopped (20)")
        action.add_argument(
            "--without-confinement",
            action="store_true",
            help="run submissions with your own rights to files and network, where Linux namespaces are not to be had",
        )


def run(options: argparse.Namespace, root: Path) -> int:
    """Do what was asked and return the exit status."""
    from cfhelpers.course.homework.confinement import NotConfined
    from cfhelpers.course.homework.package import BuildError

    actions = {"list": _list, "build": _build, "grade": _grade, "check": _check}
    try:
        return actions[options.action](options, root)
    except NotConfined as error:
        print(f"Error: {error}", file=sys.stderr)
        elsewhere = "Grade on Linux (on Windows: in WSL) or in a container"
        trusting = "" if sys.platform == "win32" else ", or add --without-confinement if you trust them all"
        print(f"{elsewhere}{trusting}.", file=sys.stderr)
    except (BuildError, RuntimeError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
    return 1


def _list(options: argparse.Namespace, root: Path) -> int:
    from cfhelpers.course.homework import exercises

    if options.table:
        from cfhelpers.course.homework import teaching

        teaching.update(root)
        return 0
    found = [each for source in exercises.sources(root, options.chapters) for each in exercises.read(source)]
    print(exercises.table(found))
    return 0


def _build(options: argparse.Namespace, root: Path) -> int:
    from cfhelpers.course.homework import exercises, package

    last = package.Settings.load(options.to)
    if last is None and not options.chapters:
        raise ValueError("say which chapters: python -m cfhelpers homework build 03 --to FOLDER")
    chapters = options.chapters or (last.chapters if last else [])
    own = {each.number: each.points for source in exercises.sources(root, chapters) for each in exercises.read(source)}
    points = _points(options.exercises, own) if options.exercises else (last.points if last else None)
    settings = package.Settings(
        name=options.name or (last.name if last else options.to.resolve().name),
        chapters=chapters,
        points=points,
        seed=options.seed if options.seed is not None else (last.seed if last else None),
        tool=options.tool or (last.tool if last else "nbgrader"),
    )
    print("\n".join(package.build(root, options.to, settings)))
    print(f"\nHand out {options.to}/student, keep {options.to}/key. Edit {options.to}/source and build again.")
    print(f"Put each student's notebooks into {options.to}/submitted/NAME, then: homework grade {options.to}")
    return 0


def _points(text: str, own: dict[str, float]) -> dict[str, float]:
    """Read ``3.1=2,3.2``."""
    points = {}
    for part in text.split(","):
        number, _, worth = part.strip().partition("=")
        if number not in own:
            raise ValueError(f"there is no exercise {number!r} in these chapters; there are {', '.join(own)}")
        try:
            points[number] = float(worth) if worth else own[number]
        except ValueError:
            raise ValueError(f"{worth!r} is no number of points for exercise {number}") from None
        if not points[number] > 0:
            raise ValueError(f"exercise {number} must give more than {worth} points")
    return points


def _grade(options: argparse.Namespace, _: Path) -> int:
    from cfhelpers.course.homework import grading

    _warn(options)
    rows = grading.grade(options.folder, confined=not options.without_confinement, seconds=options.seconds)
    grading.write_csv(rows, options.folder / "grades.csv")
    print(f"\n{grading.table(rows)}\n\nWrote {options.folder / 'grades.csv'}.")
    return 0


def _check(options: argparse.Namespace, _: Path) -> int:
    from cfhelpers.course.homework import grading

    _warn(options)
    problems = grading.check(options.folder, confined=not options.without_confinement, seconds=options.seconds)
    print("\n".join(problems) or "The key gets all points, the notebook as it is handed out none.")
    return int(bool(problems))


def _warn(options: argparse.Namespace) -> None:
    if options.without_confinement:
        user = os.environ.get("USER", "you")
        print(f"Warning: submissions run as {user}, and can read, change and delete what {user} can.", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run without the course's other commands, for tests."""
    parser = argparse.ArgumentParser(prog="homework", description=DESCRIPTION)
    add_arguments(parser)
    return run(parser.parse_args(arguments), Path(__file__).resolve().parents[3])
