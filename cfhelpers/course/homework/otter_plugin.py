"""otter-grader's way into :mod:`cells`: the submission is prepared before otter executes it.

Only otter imports this module; it is not in the pinned environment, because its own pins are narrow.
"""

import json
from typing import Any

import nbformat
from otter.plugins import AbstractOtterPlugin  # pyright: ignore[reportMissingImports]  # see above

from cfhelpers.course.homework import cells
from cfhelpers.course.homework.otter import test_name


class Prepare(AbstractOtterPlugin):
    """Recognise a submission's cells, and test each exercise where it stands."""

    def before_execution(self, submission: Any) -> Any:
        """Return the notebook to execute in the submission's place."""
        with open(self.plugin_config["handed_out"], encoding="utf-8") as file:
            handed_out = nbformat.reads(file.read(), as_version=4)
        prepared = cells.prepare(json.dumps(submission), handed_out)
        for cell in prepared.notebook.cells:
            mark = cell.metadata.get("nbgrader", {}).get("grade_id", "")
            if mark.startswith("graded-"):
                number = mark.removeprefix("graded-").replace("-", ".")
                cell.metadata["otter"] = {"tests": [test_name(number)]}
        return prepared.notebook
