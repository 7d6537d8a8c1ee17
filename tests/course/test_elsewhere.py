"""Notebooks run from an environment in ``.venv``, wherever the command is typed: no path leads back by accident.

``jupyter execute`` gives a kernel what VS Code gives it: the environment's Python, and the notebook's own folder.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[2]
CELLS = [
    "import os\nimport sys\nimport cfhelpers as cf\nfrom cfhelpers import widgets",
    "run = cf.start(seed=0)\nchat = run.load('dialogpt')\nold, new = run.tasks('persona', 'workplace')",
    "sweep = [r for r in cf.results.load('03') if r.method['name'] == 'ewc' and r.extra['stage'] == 'report']",
    "explorer = widgets.strengths(sweep)\nassert '<img' in explorer.output.value",
    "print(os.getcwd(), sys.prefix, sep='\\n')",
]
COMMANDS = {
    "jupyter execute": ["-c", "from nbclient.cli import main; main()", "--output=done"],
    "nbconvert": ["-m", "nbconvert", "--to=notebook", "--execute", "--output=done"],
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``.venv`` that has the library and what it needs, as an editable installation has."""
    folder = tmp_path_factory.mktemp("clone")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    (packages,) = (folder / ".venv").glob("lib/python*/site-packages")
    (packages / "library.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    (folder / "notebooks").mkdir()
    return folder / ".venv"


@pytest.mark.skipif(os.name == "nt", reason="the environment is laid out otherwise there")
@pytest.mark.parametrize(
    ("name", "where"), [("jupyter execute", "notebooks"), ("jupyter execute", "elsewhere"), ("nbconvert", "elsewhere")]
)
def test_a_notebook_runs_wherever_the_command_is_typed(name: str, where: str, environment: Path, tmp_path: Path):
    folder = environment.parent / "notebooks"
    path = folder / "01_where.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(code) for code in CELLS]), path)
    variables = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "JUPYTER", "VIRTUAL"))
    }
    variables |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CF_PROFILE": "tiny"}
    done = subprocess.run(
        [str(environment / "bin" / "python"), *COMMANDS[name], str(path)],
        cwd=folder if where == "notebooks" else tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    last = nbformat.read(folder / "done.ipynb", as_version=4).cells[-1].outputs[0].text
    assert last.split() == [str(folder), str(environment)]
