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

from cfhelpers.course.site import checking, figures

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

<div class="explore" data-figure="strengths"><p>With JavaScript a figure answers here; chapter 3 has it as a
picture.</p></div>
<script type="application/json" id="strengths-data">{strengths}</script>

## Choose a method

The same two tasks and the same number of steps, with every method that was measured on them: choose one, and move along
its settings. To the right more is learned, upwards more is kept. Grey: all other methods.

<div class="explore" data-figure="methods"><p>With JavaScript a figure answers here; the table below has its
numbers.</p></div>
<script type="application/json" id="methods-data">{methods}</script>

<details><summary>The same as a table</summary>

{table}

</details>

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
    plane = figures.methods()
    front = _FRONT.format(
        overview_alternative=" ".join(alternative[1].split()) if alternative else "What is kept and what is learned.",
        strengths=json.dumps(figures.strengths(), ensure_ascii=False),
        methods=json.dumps(plane, ensure_ascii=False),
        table=_table(plane),
        chapters="\n".join(path.stem for path in notebooks),
    )
    (source / "index.md").write_text(front, encoding="utf-8")
    for name, text in _reference().items():
        (source / f"{name}.md").write_text(text, encoding="utf-8")


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


def _table(plane: dict[str, Any]) -> str:
    """Write what the figure of all methods shows, for who cannot see it or has no JavaScript."""
    rows = [
        f"| {method['name']} | {point['name']} | {point['kept']:.1f} ± {point['kept_by']:.1f} "
        f"| {point['learned']:.1f} ± {point['learned_by']:.1f} |"
        for method in plane["methods"]
        for point in method["settings"]
    ]
    return "\n".join(["| method | setting | kept, % | learned, % |", "|---|---|---|---|", *rows])


def _reference() -> dict[str, str]:
    """Return the reference's pages by name: an overview, and one for each module."""
    pages = {}
    for name in _REFERENCE:
        options = ":members:\n:imported-members:\n:show-inheritance:" if "." not in name else ":members:"
        module = f".. automodule:: cfhelpers.{name}\n   " + options.replace("\n", "\n   ")
        pages[f"reference-{name.replace('.', '-')}"] = f"# {name}\n\n```{{eval-rst}}\n{module}\n```\n"
    overview = "# Reference\n\nWhat `import cfhelpers as cf` gives, from the library's own docstrings.\n\n"
    return {"reference": overview + "```{toctree}\n:maxdepth: 2\n\n" + "\n".join(pages) + "\n```\n", **pages}
