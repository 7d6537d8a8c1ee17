"""Google Colab: its versions are within the library's floors, and with them the notebooks run and their widgets move.

The second part needs Colab's ipywidgets; ``.ci/colab`` makes an environment that has it and runs this file there.
"""

import ast
import os
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest

from cfhelpers.course.notebooks import building, execution
from tests.course.widgets import moving

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
OLD_WIDGETS = metadata.version("ipywidgets").startswith("7.")


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / ".ci" / "colab.txt").read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def floors() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", each).groups() for each in project["dependencies"])


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


# Form


def test_no_floor_is_above_what_colab_has():
    too_high = {name: floor for name, floor in floors().items() if numbers(pins().get(name, floor)) < numbers(floor)}
    assert too_high == {}
    assert {"torch", "transformers", "datasets", "peft", "accelerate", "ipywidgets"} <= set(pins()) & set(floors())


def test_what_colab_lacks_is_installed_by_the_notebooks_and_by_nothing_else():
    assert set(building.COLAB_LACKS) <= set(floors())
    assert not set(building.COLAB_LACKS) & set(pins())
    for path in NOTEBOOKS:
        (cell,) = (c for c in nbformat.read(path, as_version=4).cells if "colab" in c.metadata.get("tags", []))
        first = cell.source.splitlines()[0]
        assert "installs the course's library" in first, path.name
        assert "takes" in first, path.name
        (command,) = re.findall("%pip install .*", cell.source)
        assert "--no-deps" in command, "pip would replace Colab's own versions, and Colab ask for a restart"
        assert command.split('"')[-1].split() == list(building.COLAB_LACKS)


def test_badge_and_install_cell_lead_to_the_one_setting():
    setting = building.colab_setting()
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        where = f"{setting['repository']}/blob/{setting['reference']}/notebooks/{path.name}"
        assert f"(https://colab.research.google.com/github/{where})" in text
        assert f"git+https://github.com/{setting['repository']}@{setting['reference']}" in text


def test_a_job_runs_the_notebooks_as_on_colab():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    job = workflow.partition("\n  colab:\n")[2]
    assert "run: .ci/colab" in job
    assert 'python-version: "3.13"' in job
    assert os.access(ROOT / ".ci" / "colab", os.X_OK)


def test_the_job_installs_what_its_tests_import():
    script = (ROOT / ".ci" / "colab").read_text(encoding="utf-8")
    installed = script + (ROOT / ".ci" / "colab.txt").read_text(encoding="utf-8")
    places = [ROOT / each for each in re.findall(r"tests/[\w/.]+", script.partition("tests=(")[2])]
    assert len(places) >= 5
    imported = set()
    for path in [file for place in places for file in ([place] if place.is_file() else place.rglob("*.py"))]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.partition(".")[0] for name in names}
    others = imported - set(sys.stdlib_module_names) - {"cfhelpers", "tests"}
    come_with = {"nbformat": "nbclient", "sklearn": "scikit-learn", "safetensors": "transformers"}
    assert {name for name in others if come_with.get(name, name) not in installed} == set()


# With Colab's versions


@pytest.mark.skipif(not OLD_WIDGETS, reason="needs Colab's ipywidgets 7: .ci/colab makes an environment with it")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_widgets_move(path: Path, capsys: pytest.CaptureFixture):
    notebook = moving.with_moves(nbformat.read(path, as_version=4), most=12)
    outcome = execution.execute(notebook, path.stem, path.parent, "tiny")
    assert outcome.error is None, outcome.error
    with capsys.disabled():
        print(f"\n{path.stem}: {outcome.seconds:.0f} s", *moving.reports(notebook), sep="\n  ")
    assert moving.reports(notebook), "every chapter has a widget"
