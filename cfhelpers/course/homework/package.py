"""The folder of an assignment: what is handed out, the key, and what nbgrader or otter-grader grades with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat

from cfhelpers.course.homework import assignment as assignments
from cfhelpers.course.homework import exercises, updating
from cfhelpers.course.homework.assignment import CODE_STUB, Assignment
from cfhelpers.course.homework.exercises import Listed

SETTINGS = "homework.json"
_CONFIG = f"""\
# nbgrader's settings for this assignment. `python -m cfhelpers homework grade` uses them, one learner at a time;
# nbgrader's own commands work in this folder too, but run submissions without confinement.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "{{name}}"
c.ClearSolutions.code_stub = {{{{"python": {CODE_STUB!r}}}}}
c.OverwriteCells.add_missing_cells = True  # otherwise a deleted test costs its points without a word
c.Execute.timeout = 120  # a cell that its own limit has not stopped before
c.Execute.interrupt_on_timeout = True
"""


class BuildError(Exception):
    """An assignment cannot be built as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Settings:
    """What a teacher chose; kept in the assignment's folder, so that the next build needs no options."""

    name: str
    chapters: list[str]
    points: dict[str, float] | None
    seed: int | None
    tool: str

    @staticmethod
    def load(folder: Path) -> Settings | None:
        """Return the settings of a folder, or None if nothing was built there."""
        path = folder / SETTINGS
        return Settings(**json.loads(path.read_text("utf-8"))["settings"]) if path.exists() else None


def build(root: Path, folder: Path, settings: Settings) -> list[str]:
    """Build or update an assignment's folder.

    Args:
        root: The repository.
        folder: Made if it is not there.
        settings: What is in the assignment.

    Returns:
        What to tell the teacher, line by line.

    Raises:
        BuildError: There are clashes with a newer chapter, an edited file would be written over, or an exercise does
            not exist.
        RuntimeError: Edits are to be merged and git is not here.
        ValueError: A chapter does not exist or makes no sense.
    """
    chapters = exercises.sources(root, settings.chapters)
    _refuse_edited(folder)
    said, own = [], []
    for chapter in chapters:
        outcome = updating.update(chapter, folder / "source")
        if outcome.clashes:
            raise BuildError(_clash_text(outcome))
        if outcome.merged:
            said.append(f"{chapter.stem}: your edits and the newer chapter went together")
        own.append(outcome.path)
    made = [_make(path, settings) for path in own]
    if settings.points and (
        unknown := sorted(set(settings.points) - {e.number for each in made for e in each.exercises})
    ):
        raise BuildError(f"no exercise {', '.join(unknown)} in the chapters {', '.join(p.stem for p in own)}")
    for each in made:
        said += [f"{each.name}: left out {text}" for text in each.left_out]
    files = _write(folder, made, settings)
    _save(folder, settings, made, files)
    listed = [exercise for each in made for exercise in each.exercises]
    return [*said, exercises.table(listed)]


def student_notebook(folder: Path, name: str) -> nbformat.NotebookNode:
    """Return a notebook as it was handed out."""
    return nbformat.read(folder / "student" / f"{name}.ipynb", as_version=4)


def listed(folder: Path) -> list[Listed]:
    """Return the graded exercises of a folder."""
    return [Listed(**each) for each in json.loads((folder / SETTINGS).read_text("utf-8"))["exercises"]]


def _make(path: Path, settings: Settings) -> Assignment:
    own = {each.number for each in exercises.read(path)}
    points = None if settings.points is None else {n: p for n, p in settings.points.items() if n in own}
    return assignments.make(path, points=points, seed=settings.seed)


def _write(folder: Path, made: Sequence[Assignment], settings: Settings) -> list[Path]:
    written = []

    def write(place: Path, notebook: nbformat.NotebookNode) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, place)
        written.append(place)

    for each in made:
        write(folder / "student" / f"{each.name}.ipynb", each.student)
        write(folder / "key" / f"{each.name}.ipynb", assignments.key_version(each.instructor))
        write(folder / "nbgrader" / "source" / settings.name / f"{each.name}.ipynb", each.instructor)
    config = folder / "nbgrader" / "nbgrader_config.py"
    config.write_text(_CONFIG.format(name=settings.name), "utf-8")
    written.append(config)
    _generate(folder / "nbgrader", settings.name)
    if settings.tool == "otter":
        from cfhelpers.course.homework import otter

        written += otter.write(folder, made, settings.name)
    (folder / "submitted").mkdir(exist_ok=True)
    return written


def search_path() -> str:
    """Return PATH with the programs beside this Python first: nbgrader starts ``alembic`` by its bare name.

    An environment that is used without being activated, as ``.venv`` is by our commands, is not on the path.
    """
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _generate(course: Path, name: str) -> None:
    """Let nbgrader make its release and its gradebook."""
    from nbgrader.apps import NbGraderAPI
    from traitlets.config.loader import PyFileConfigLoader

    config = PyFileConfigLoader("nbgrader_config.py", path=str(course)).load_config()
    config.CourseDirectory.root = str(course.resolve())
    shutil.rmtree(course / "release", ignore_errors=True)
    with mock.patch.dict(os.environ, PATH=search_path()):
        outcome = NbGraderAPI(config=config).generate_assignment(name, force=True, create=True)
    if not outcome["success"]:
        raise BuildError(f"nbgrader could not make the assignment: {outcome.get('error') or outcome.get('log')}")


def _save(folder: Path, settings: Settings, made: Sequence[Assignment], files: Sequence[Path]) -> None:
    content: dict[str, Any] = {
        "settings": asdict(settings),
        "exercises": [asdict(exercise) for each in made for exercise in each.exercises],
        "files": {path.relative_to(folder).as_posix(): _digest(path) for path in files},
    }
    (folder / SETTINGS).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _refuse_edited(folder: Path) -> None:
    """Refuse to write over a generated file that somebody has edited since."""
    if not (folder / SETTINGS).exists():
        return
    files: Mapping[str, str] = json.loads((folder / SETTINGS).read_text("utf-8"))["files"]
    edited = [name for name, digest in files.items() if (folder / name).exists() and _digest(folder / name) != digest]
    if edited:
        raise BuildError(
            f"these files were edited since they were built, and would be written over: {', '.join(edited)}. Make your "
            "edits in source/ instead, from which they are built; then move these files away and build again."
        )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _clash_text(outcome: updating.Update) -> str:
    lines = [
        f"{outcome.path.name}: you and the newer chapter changed the same lines in {len(outcome.clashes)} "
        f"place{'' if len(outcome.clashes) == 1 else 's'}. Nothing was changed."
    ]
    for number, (yours, newer) in enumerate(outcome.clashes, start=1):
        lines += [f"{number}. yours:", *(f"   | {line}" for line in yours.splitlines())]
        lines += ["   the chapter:", *(f"   | {line}" for line in newer.splitlines())]
    lines.append(f"Choose in {outcome.clash_file}, delete its marks (<<<<<<<, =======, >>>>>>>), and build again.")
    return "\n".join(lines)
