"""nbgrader's autograde of one submission; run in the confinement, as ``python -m cfhelpers.course.homework.inside``."""

import json
import sys
from pathlib import Path

import nbformat

STUDENT = "submission"
ANSWER = "graded.json"
COURSE = "course"
EVIDENCE_FOLDER = "evidence"


def main(assignment: str, name: str) -> None:
    """Autograde ``course/submitted/submission/ASSIGNMENT/NAME.ipynb`` below the working directory.

    What came out is written to ``graded.json``: nbgrader's scores, the errors of marked cells, the checks' evidence.
    """
    scores = _autograde(assignment, name)
    content = {"scores": scores, "errors": _errors(assignment, name), "evidence": _evidence()}
    Path(ANSWER).write_text(json.dumps(content), "utf-8")


def _autograde(assignment: str, name: str) -> dict[str, float]:
    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI
    from traitlets.config.loader import PyFileConfigLoader

    course = Path(COURSE).resolve()
    config = PyFileConfigLoader("nbgrader_config.py", path=str(course)).load_config()
    config.CourseDirectory.root = str(course)
    outcome = NbGraderAPI(config=config).autograde(assignment, STUDENT, force=True, create=True)
    if not outcome["success"]:
        print(outcome.get("error") or outcome.get("log"), file=sys.stderr)
        return {}
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        notebook = gradebook.find_submission_notebook(name, assignment, STUDENT)
        return {grade.name: float(grade.auto_score or 0) for grade in notebook.grades}


def _errors(assignment: str, name: str) -> dict[str, str]:
    """Return what the marked cells stopped with."""
    path = Path(COURSE, "autograded", STUDENT, assignment, f"{name}.ipynb")
    if not path.exists():
        return {}
    found = {}
    for cell in nbformat.read(path, as_version=4).cells:
        mark = cell.metadata.get("nbgrader", {}).get("grade_id")
        for output in cell.get("outputs", []):
            if mark and output.output_type == "error":
                found[mark] = f"{output.ename}: {output.evalue}"[:2000]
    return found


def _evidence() -> dict[str, dict]:
    found = {}
    for path in Path(EVIDENCE_FOLDER).glob("*.json"):
        try:
            content = json.loads(path.read_text("utf-8"))
            found[str(content["number"])] = content
        except (ValueError, KeyError, TypeError):  # the submission wrote over it: then there is no evidence
            continue
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
