"""From a source to a notebook: the learner's version, or the one with every solution filled in."""

import hashlib
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import nbformat
from nbformat import NotebookNode

from cfhelpers.course.notebooks import cleaning, execution

_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
# What the library needs and Colab does not have; .ci/colab.txt lists what it has.
COLAB_LACKS = ("evaluate", "gguf")
_MARKERS = re.compile(r"^[ \t]*### (BEGIN|END) SOLUTION[ \t]*\n?", re.MULTILINE)
# Every notebook of the course runs on any kernel named python3.
_NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def build(source: Path, *, solved: bool = False) -> NotebookNode:
    """Build a notebook from its source, without outputs.

    Args:
        source: A file in jupytext's percent format; see ``cfhelpers.course.notebooks`` for what else it may say.
        solved: Keep the solutions and the graded cells, as the teacher's version has them; otherwise the learner's.

    Returns:
        A notebook with cell ids that depend on nothing but the source.

    Raises:
        ValueError: A placeholder names an exercise that does not exist, a solution stands outside an exercise, two
            cells claim one exercise or one graded cell, or a cell claims an exercise of another chapter.
    """
    import jupytext

    notebook = cast("NotebookNode", nbformat.from_dict(jupytext.read(source, fmt="py:percent")))
    _require_one_cell_each(notebook, source)
    exercises = {cell.metadata.exercise: cell.source for cell in notebook.cells if "exercise" in cell.metadata}
    for index, cell in enumerate(notebook.cells):
        cell.source = _fill_placeholders(cell.source, source, exercises)
        _set_grading(cell)
        cell.id = _cell_id(index, cell)
    notebook.metadata = nbformat.from_dict(_NOTEBOOK_METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    if not solved:
        notebook = _without_solutions(notebook)
    nbformat.validate(notebook)
    return notebook


def build_files(root: Path, names: Sequence[str] = ()) -> int:
    """Build, execute in ``tiny``, clean and write the notebooks whose names begin with one of ``names``, or all.

    Returns:
        0, or 1 when a notebook failed; that one is not written.
    """
    sources = [
        path
        for path in sorted((root / "notebooks" / "source").glob("*.py"))
        if not names or path.name.startswith(tuple(names))
    ]
    if not sources:
        print(f"No source in notebooks/source begins with {' or '.join(names)}.", file=sys.stderr)
        return 1
    failed = False
    for source in sources:
        notebook = build(source)
        target = root / "notebooks" / f"{source.stem}.ipynb"
        outcome = execution.execute(notebook, source.stem, target.parent, "tiny")
        cleaning.clean(notebook, root)
        if outcome.error:
            failed = True
            print(f"{source.stem}: {outcome.error}", file=sys.stderr)
            continue
        nbformat.write(notebook, target)
        for problem in cleaning.problems(notebook):
            failed = True
            print(f"{source.stem}: {problem}", file=sys.stderr)
    return int(failed)


def _require_one_cell_each(notebook: NotebookNode, source: Path) -> None:
    for mark in ("exercise", "graded"):
        numbers = Counter(str(cell.metadata[mark]) for cell in notebook.cells if mark in cell.metadata)
        for number in (number for number, count in numbers.items() if count > 1):
            twice = f'{numbers[number]} cells say {mark}="{number}"'
            raise ValueError(f"{source.name}: {twice}; all but one would be lost")
        chapter = str(int(source.name[:2])) if source.name[:2].isdigit() else None
        for number in numbers if chapter else ():
            if number.split(".")[0] != chapter:
                raise ValueError(
                    f'{source.name}: a cell says {mark}="{number}", an exercise of another chapter, whose check and '
                    f"points it would take. Number it {chapter}.1, {chapter}.2, …"
                )


def _fill_placeholders(text: str, source: Path, exercises: dict[str, str]) -> str:
    setting = colab_setting()
    where = f"{setting['repository']}/blob/{setting['reference']}/notebooks/{source.stem}.ipynb"
    badge = f"[![Open in Colab]({_BADGE})](https://colab.research.google.com/github/{where})"
    install = (
        "# On Google Colab this installs the course's library, which takes about half a minute; "
        "elsewhere it does nothing.\n"
        "import sys\n\n"
        'if "google.colab" in sys.modules:\n'
        f'    %pip install -q --no-deps "git+https://github.com/{setting["repository"]}@{setting["reference"]}" '
        f"{' '.join(COLAB_LACKS)}"
    )

    def solution(match: re.Match) -> str:
        if match[1] not in exercises:
            raise ValueError(f"{source.name} asks for the solution of exercise {match[1]}, which is not there")
        return f"```python\n{_MARKERS.sub('', exercises[match[1]]).strip()}\n```"

    text = text.replace("{{colab badge}}", badge).replace("# {{colab install}}", install)
    return re.sub(r"\{\{solution ([\w.]+)\}\}", solution, text)


def colab_setting() -> dict[str, str]:
    """Return ``repository`` and ``reference``: where badges and install cells point, from pyproject.toml."""
    pyproject = Path(__file__).resolve().parents[3] / "pyproject.toml"
    return tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["cfhelpers"]


def _set_grading(cell: NotebookNode) -> None:
    """Write nbgrader's metadata for a cell that says ``exercise`` or ``graded``."""
    exercise, graded = cell.metadata.pop("exercise", None), cell.metadata.pop("graded", None)
    points = cell.metadata.pop("points", 1)
    if exercise is None and graded is None:
        return
    number = exercise or graded
    cell.metadata["nbgrader"] = {
        "grade_id": f"{'exercise' if exercise else 'graded'}-{number.replace('.', '-')}",
        "grade": graded is not None,
        "solution": exercise is not None,
        "locked": graded is not None,
        "task": False,
        "schema_version": 3,
        **({"points": points} if graded else {}),
    }


def _cell_id(index: int, cell: NotebookNode) -> str:
    if "nbgrader" in cell.metadata:
        return cell.metadata.nbgrader.grade_id
    return f"{index:03d}-{hashlib.sha256(cell.source.encode()).hexdigest()[:8]}"


def _without_solutions(notebook: NotebookNode) -> NotebookNode:
    """Let nbgrader clear the solutions, then drop what only the teacher needs."""
    from nbconvert.exporters.exporter import ResourcesDict
    from nbgrader.preprocessors import ClearSolutions

    stub = {"python": "# Your code here.\nraise NotImplementedError"}
    try:
        notebook, _ = ClearSolutions(code_stub=stub).preprocess(notebook, ResourcesDict())
    except RuntimeError as error:
        raise ValueError(f"a solution outside an exercise, or without its end: {error}") from error
    notebook.cells = [cell for cell in notebook.cells if not cell.metadata.get("nbgrader", {}).get("grade")]
    for cell in notebook.cells:
        cell.metadata.pop("nbgrader", None)
    return notebook
