"""Lay out what Sphinx reads, run it, check what came out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from cfhelpers.course.site import checking

_HERE = Path(__file__).resolve().parent
_BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)\n?")
_REFERENCE = [
    "fisher",
    "methods",
    "training.trainer",
    "training.sequence",
    "training.strength",
    "training.runtime",
    "training.plans",
    "training.records",
    "metrics",
    "evaluation",
    "models",
    "tasks",
    "plots",
    "tables",
    "course.results",
]
_FRONT = """\
# Catastrophic forgetting in language models

**What does a language model lose when it learns something new, and what does it cost to keep it?**

![{overview_alternative}](overview.png)

These are the course's notebooks with their figures as they came out on the small models that it brings. To run, break
and repair them, clone the repository and type `make lab`.

## Choose a strength

A chat model learns a persona, then a workplace, while elastic weight consolidation pulls its weights back to where they
were, with strength λ. Move the slider: how much of the persona is kept, how much of the workplace is learned? Orange:
the bounds and other methods, each with its best setting. Bars are 95 % intervals over seeds.

<div class="explore" data-source="explore-data"><p>With JavaScript a figure answers here; chapter 3 has it as a
picture.</p></div>
<script type="application/json" id="explore-data">{data}</script>

```{{toctree}}
:caption: Chapters
:maxdepth: 1

{chapters}
```

```{{toctree}}
:caption: More
:maxdepth: 1

TEACHING
reference
```
"""


def build(root: Path) -> int:
    """Build the site into ``build/site`` and say what is wrong with it.

    Args:
        root: The repository.

    Returns:
        0, or 1 if Sphinx failed or something is wrong with a page.
    """
    source, target = root / "build" / "site-source", root / "build" / "site"
    for folder in (source, target):
        shutil.rmtree(folder, ignore_errors=True)
    lay_out(root, source)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", str(source), str(target)]
    if (status := subprocess.run(command, cwd=root, check=False).returncode) != 0:
        return status
    shutil.rmtree(target / ".doctrees", ignore_errors=True)
    found = checking.problems(target)
    print("\n".join(found), file=sys.stderr)
    print(f"Open {(target / 'index.html').relative_to(root)}: {len(list(target.glob('*.html')))} pages.")
    return int(bool(found))


def lay_out(root: Path, source: Path) -> None:
    """Write everything that Sphinx reads."""
    (source / "_static").mkdir(parents=True)
    shutil.copyfile(_HERE / "conf.py", source / "conf.py")
    for name in ("explore.js", "explore.css"):
        shutil.copyfile(_HERE / name, source / "_static" / name)
    notebooks = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    for path in notebooks:
        nbformat.write(for_the_site(nbformat.read(path, as_version=4)), source / path.name)
    shutil.copyfile(root / "notebooks" / "TEACHING.md", source / "TEACHING.md")
    shutil.copyfile(root / "notebooks" / "results" / "overview.png", source / "overview.png")
    alternative = re.search(
        r"!\[([^\]]*)\]\(notebooks/results/overview\.png\)", (root / "README.md").read_text("utf-8")
    )
    front = _FRONT.format(
        overview_alternative=" ".join(alternative[1].split()) if alternative else "What is kept and what is learned.",
        data=json.dumps(strengths(), ensure_ascii=False),
        chapters="\n".join(path.stem for path in notebooks),
    )
    (source / "index.md").write_text(front, encoding="utf-8")
    (source / "reference.md").write_text(_reference(), encoding="utf-8")


def for_the_site(notebook: NotebookNode) -> NotebookNode:
    """Prepare a notebook: no badge to fetch, no cell for Colab, alternative texts where myst-nb looks for them."""
    notebook.cells = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        cell.source = _BADGE.sub("", cell.source)
        texts = [
            about.get("alt", "")
            for output in cell.get("outputs", [])
            for kind, about in output.get("metadata", {}).items()
            if kind.startswith("image/")
        ]
        if texts:
            cell.metadata["mystnb"] = {"image": {"alt": " ".join(filter(None, texts))}}
    return notebook


def strengths() -> dict[str, Any]:
    """Return chapter 3's stored sweep over λ and what it is compared with, for the figure of the front page."""
    from cfhelpers.course import results

    records = results.load("03", profile="tiny")
    sweep = sorted(
        (r for r in records if r.method["name"] == "ewc" and r.extra["stage"] == "report"),
        key=lambda record: record.method["strength"],
    )
    reported = [record for record in records if record.extra["stage"] == "report"]
    bounds = {r.method["name"]: r for r in reported if r.method["name"] in ("naive", "joint")}
    chosen = bounds | results.chosen(reported)
    best = chosen["ewc"].method["strength"]
    others = [chosen[name] for name in ("naive", "l2sp", "replay", "joint") if name in chosen]
    return {
        "sweep": [{"name": f"{record.method['strength']:g}", **_point(record)} for record in sweep],
        "others": [{"name": record.method["name"], **_point(record)} for record in others],
        "start": next(place for place, record in enumerate(sweep) if record.method["strength"] == best),
        "x": "learned: recall of the workplace, %",
        "y": "kept: recall of the persona, %",
        "alternative": "What is kept of the persona against what is learned of the workplace, for every strength of "
        "elastic weight consolidation, with naive and joint training and two other methods.",
    }


def _point(record: Any) -> dict[str, float]:
    from cfhelpers.metrics import mean_and_interval

    found = {}
    for name, task in (("kept", record.tasks[0]), ("learned", record.tasks[-1])):
        interval = mean_and_interval(100 * record.scores(task))
        found |= {name: round(interval.mean, 2), f"{name}_by": round(interval.high - interval.mean, 2)}
    return found


def _reference() -> str:
    parts = ["# Reference\n\nWhat `import cfhelpers as cf` gives, from the library's own docstrings.\n"]
    for name in _REFERENCE:
        options = ":members:\n:imported-members:\n:show-inheritance:" if "." not in name else ":members:"
        parts.append(
            f"## {name}\n\n```{{eval-rst}}\n.. automodule:: cfhelpers.{name}\n   "
            + options.replace("\n", "\n   ")
            + "\n```\n"
        )
    return "\n".join(parts)
