"""The committed notebooks equal their sources and run; and the machinery that builds, runs and cleans them works."""

import ast
import asyncio
import base64
import io
import re
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from cfhelpers.course.notebooks import building, cleaning, execution
from tests.course.widgets import moving

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOURCES = sorted((ROOT / "notebooks" / "source").glob("*.py"))

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

SAMPLE = '''
    # %% [markdown]
    # # A sample
    # {{colab badge}}

    # %% tags=["colab"]
    # {{colab install}}

    # %%
    import matplotlib.pyplot as plt

    # %% exercise="1.1"
    def double(number: int) -> int:
        """Return twice the number."""
        ### BEGIN SOLUTION
        return 2 * number
        ### END SOLUTION

    # %% [markdown]
    # {{solution 1.1}}

    # %%
    try:
        result = double(21)
    except NotImplementedError:
        result = "unsolved"
    print(result)

    # %% graded="1.1" points=2
    assert double(4) == 8

    # %%
    # alt: A line that rises
    #   from one to two.
    plt.plot([1, 2])
    plt.show()
'''


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return write_source(tmp_path, SAMPLE)


def write_source(folder: Path, text: str) -> Path:
    path = folder / "01_sample.py"
    path.write_text(textwrap.dedent(text).lstrip())
    return path


def printed(notebook: NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


# The course's notebooks


def test_every_source_has_its_notebook_and_every_notebook_its_source():
    assert [path.stem for path in NOTEBOOKS] == [path.stem for path in SOURCES]


def test_the_readme_leads_to_every_notebook():
    linked = re.findall(r"\]\((notebooks/[^)]+\.ipynb)\)", (ROOT / "README.md").read_text())
    assert linked == [path.relative_to(ROOT).as_posix() for path in NOTEBOOKS]


@every_notebook
def test_a_notebook_is_what_its_source_gives(path: Path):
    committed = nbformat.read(path, as_version=4)
    rebuilt = building.build(ROOT / "notebooks" / "source" / f"{path.stem}.py")

    def content(notebook: NotebookNode) -> list[tuple[str, str, str]]:
        return [(cell.id, cell.cell_type, cell.source) for cell in notebook.cells]

    assert content(committed) == content(rebuilt), "run: python -m cfhelpers build"


@every_notebook
def test_a_notebook_keeps_the_rules(path: Path):
    assert cleaning.problems(nbformat.read(path, as_version=4)) == []


@every_notebook
def test_the_folded_solutions_are_the_code_of_the_exercises(path: Path):
    prose = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    folded = [
        code for text in prose for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Solution" in text
    ]
    solved = building.build(ROOT / "notebooks" / "source" / f"{path.stem}.py", solved=True)
    exercises = [cell.source for cell in solved.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert len(exercises) >= 3
    assert [ast.dump(ast.parse(code)) for code in folded] == [ast.dump(ast.parse(code)) for code in exercises]


@every_notebook
def test_a_notebook_was_executed(path: Path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@every_notebook
def test_a_notebook_runs_with_every_exercise_solved(path: Path, capsys: pytest.CaptureFixture):
    """And its widgets answer fast enough. As committed, with no exercise solved, nbmake runs it."""
    solved = building.build(ROOT / "notebooks" / "source" / f"{path.stem}.py", solved=True)
    notebook = moving.with_moves(solved)
    outcome = execution.execute(notebook, path.stem, path.parent, "tiny")
    assert outcome.error is None, outcome.error
    assert moving.reports(notebook), "every chapter has a widget"
    with capsys.disabled():
        print(f"\n{path.stem}, solved: {outcome.seconds:.0f} s of 40 s", *moving.reports(notebook), sep="\n  ")
    assert outcome.seconds <= 240, "the budget is 40 s; six times that is no busy machine any more"


# Building


def test_the_learners_version_has_stubs_and_no_graded_cells(sample: Path):
    notebook = building.build(sample)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert "raise NotImplementedError" in text
    assert "return 2 * number" not in text
    assert "SOLUTION" not in text
    assert "assert double(4) == 8" not in text
    assert not any("nbgrader" in cell.metadata for cell in notebook.cells)


def test_the_solved_version_has_solutions_and_graded_cells_with_their_points(sample: Path):
    notebook = building.build(sample, solved=True)
    by_id = {cell.id: cell for cell in notebook.cells}
    assert "return 2 * number" in by_id["exercise-1-1"].source
    assert by_id["exercise-1-1"].metadata.nbgrader.solution
    assert by_id["graded-1-1"].metadata.nbgrader.points == 2
    assert by_id["graded-1-1"].metadata.nbgrader.grade


def test_nbgrader_accepts_the_solved_version(sample: Path):
    from nbconvert.exporters.exporter import ResourcesDict
    from nbgrader.preprocessors import CheckCellMetadata, LockCells

    for preprocessor in (CheckCellMetadata(), LockCells()):
        preprocessor.preprocess(building.build(sample, solved=True), ResourcesDict())


def test_the_folded_solution_is_the_exercises_own_code(sample: Path):
    prose = [cell.source for cell in building.build(sample).cells if cell.cell_type == "markdown"]
    assert any("```python\ndef double" in text and "return 2 * number" in text for text in prose)
    assert not any("SOLUTION" in text for text in prose)


def test_the_badge_and_the_install_cell_come_from_one_setting(sample: Path, monkeypatch: pytest.MonkeyPatch):
    setting = {"repository": "someone/fork", "reference": "v9"}
    monkeypatch.setattr(building, "colab_setting", lambda: setting)
    first, install = building.build(sample).cells[:2]
    assert "colab.research.google.com/github/someone/fork/blob/v9/notebooks/01_sample.ipynb" in first.source
    assert '"git+https://github.com/someone/fork@v9"' in install.source
    assert "--no-deps" in install.source
    assert install.metadata.tags == ["colab"]


def test_ids_depend_on_nothing_but_the_source(sample: Path):
    once, again = building.build(sample), building.build(sample)
    assert once == again
    assert len({cell.id for cell in once.cells}) == len(once.cells)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# %% [markdown]\n# {{solution 7.7}}\n", "exercise 7.7"),
        ("# %%\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n", "outside an exercise"),
        ('# %% exercise="1.1"\n### BEGIN SOLUTION\nx = 1\n', "without its end"),
        (
            '# %% exercise="2.1"\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n',
            'exercise="2.1", an exercise of another',
        ),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str):
    with pytest.raises(ValueError, match=message):
        building.build(write_source(tmp_path, text))


def test_build_files_writes_an_executed_clean_notebook(tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = tmp_path / "notebooks" / "source"
    folder.mkdir(parents=True)
    write_source(folder, SAMPLE)
    assert building.build_files(tmp_path) == 0
    notebook = nbformat.read(tmp_path / "notebooks" / "01_sample.ipynb", as_version=4)
    assert "unsolved" in printed(notebook)
    assert cleaning.problems(notebook) == []
    assert "ok after" in capsys.readouterr().out


def test_build_files_keeps_the_old_notebook_when_the_new_one_fails(tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = tmp_path / "notebooks" / "source"
    folder.mkdir(parents=True)
    write_source(folder, "# %%\n1 / 0\n")
    assert building.build_files(tmp_path) == 1
    assert not (tmp_path / "notebooks" / "01_sample.ipynb").exists()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_build_files_says_when_no_source_has_that_name(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert building.build_files(tmp_path, ["99"]) == 1
    assert "99" in capsys.readouterr().err


# Executing


def test_filled_in_solutions_run_with_their_graded_cells(sample: Path, tmp_path: Path):
    notebook = building.build(sample, solved=True)
    outcome = execution.execute(notebook, "sample", tmp_path, "tiny")
    assert outcome.error is None
    assert "42" in printed(notebook)


def test_a_broken_cell_is_reported_with_its_number_and_its_error(tmp_path: Path):
    cells = [new_markdown_cell("A title"), new_code_cell("1 + 1"), new_code_cell("1 / 0"), new_code_cell("2 + 2")]
    notebook = new_notebook(cells=cells)
    outcome = execution.execute(notebook, "broken", tmp_path, "tiny")
    assert outcome.error is not None
    assert outcome.error.startswith("In [2] failed")  # as JupyterLab numbers it
    assert "ZeroDivisionError: division by zero" in outcome.error
    assert "\x1b" not in outcome.error
    assert notebook.cells[3].execution_count is None


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_counts_the_cells_with_code(
    terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(execution._Progress, "SECONDS_BETWEEN_LINES", 0)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    cells = [new_markdown_cell("A title"), new_code_cell("1 + 1"), new_code_cell(" "), new_code_cell("2 + 2")]
    assert execution.execute(new_notebook(cells=cells), "counted", tmp_path, "tiny").error is None
    out = capsys.readouterr().out
    assert [line[: -len(", 0 s")] for line in re.findall(r"counted: cell \d of \d, \d+ s", out)] == [
        "counted: cell 1 of 2",
        "counted: cell 2 of 2",
    ]
    assert out.count("\n") == (1 if terminal else 3)
    assert out.count("\r") == (3 if terminal else 0)


def test_what_a_terminal_shows_is_covered_by_a_shorter_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    progress = execution._Progress("a_name", 100)
    progress.show(100)
    progress.end("ok")
    _, shown, last = capsys.readouterr().out.split("\r")
    assert len(last.rstrip("\n")) >= len(shown)
    assert "\x1b" not in last


def test_on_windows_notebooks_run_in_the_event_loop_that_zmq_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Policy:
        """Windows' policy; this system's loop of that kind stands in for its loop."""

        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            made.append(asyncio.SelectorEventLoop())
            return made[-1]

    made: list[asyncio.AbstractEventLoop] = []
    used = []
    monkeypatch.setattr(asyncio, "WindowsSelectorEventLoopPolicy", Policy, raising=False)
    monkeypatch.setattr("jupyter_core.utils.sys", SimpleNamespace(platform="win32", version_info=sys.version_info))
    notebook = new_notebook(cells=[new_code_cell("1 + 1")])
    monkeypatch.setattr(execution._Progress, "show", lambda *_: used.append(asyncio.get_running_loop()))

    def run() -> None:
        assert execution.execute(notebook, "looped", tmp_path, "tiny").error is None
        made[0].close()

    with ThreadPoolExecutor() as fresh:  # a thread of its own has no loop yet
        fresh.submit(run).result()
    assert used == made


def test_a_kernel_that_dies_is_reported(tmp_path: Path):
    notebook = new_notebook(cells=[new_code_cell("import os\nos._exit(1)")])
    outcome = execution.execute(notebook, "dying", tmp_path, "tiny")
    assert outcome.error is not None
    assert "DeadKernelError" in outcome.error


def test_a_notebook_runs_in_its_folder_with_this_python_and_its_profile(tmp_path: Path):
    code = "import os, sys\nprint(os.getcwd(), sys.prefix, os.environ['CF_PROFILE'], sep='\\n')"
    path = tmp_path / "01_where.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    before = path.read_bytes()
    outcome = execution.execute_file(path, tmp_path / "build" / "01_where.ipynb", "laptop")
    assert outcome.error is None
    where = printed(nbformat.read(tmp_path / "build" / "01_where.ipynb", as_version=4)).split()
    assert where == [str(tmp_path), sys.prefix, "laptop"]
    assert path.read_bytes() == before


def test_neither_another_kernel_of_that_name_nor_a_backend_without_figures_gets_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["no-such-python"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = new_notebook(cells=[new_code_cell("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")])
    outcome = execution.execute(notebook, "figure", tmp_path, "tiny")
    assert outcome.error is None
    assert any("image/png" in output.get("data", {}) for output in notebook.cells[0].outputs)


# Cleaning


def executed(*outputs: NotebookNode, source: str = "pass") -> NotebookNode:
    cell = new_code_cell(source, outputs=list(outputs), execution_count=1)
    cell.metadata["execution"] = {"iopub.status.idle": "2026-01-01T00:00:00Z"}
    notebook = new_notebook(cells=[cell])
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    return notebook


def figure(image: Image.Image | None = None) -> NotebookNode:
    file = io.BytesIO()
    (image or Image.new("RGBA", (4, 4), "red")).save(file, "png")
    data = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": "<Figure size 640x480>"}
    return new_output("display_data", data=data)


def test_a_figure_shrinks_and_looks_the_same(tmp_path: Path):
    # Thousands of shades, as smooth edges on a transparent ground give them.
    shades = Image.effect_noise((200, 100), 30).convert("RGBA")
    shades.paste((0, 114, 178, 255), (50, 20, 120, 60))
    shades.paste((0, 0, 0, 0), (150, 0, 200, 100))
    notebook = executed(figure(shades), source="# alt: A blue box.\nplot()")
    before = notebook.cells[0].outputs[0].data["image/png"]
    cleaning.clean(notebook, tmp_path)
    after = notebook.cells[0].outputs[0].data["image/png"]
    assert len(after) < 0.7 * len(before)
    with Image.open(io.BytesIO(base64.b64decode(after))) as image:
        colours = image.convert("RGB")
        assert colours.size == (200, 100)
        assert colours.getpixel((80, 40)) == (0, 114, 178)
        assert colours.getpixel((180, 50)) == (255, 255, 255)


def test_cleaning_takes_out_what_passes(tmp_path: Path):
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "interactive(…)"}
    notebook = executed(
        new_output("stream", name="stderr", text="100%|####|"),
        new_output("display_data", data=widget),
        new_output("display_data", data={"text/html": "<progress value='3'></progress>"}),
        new_output("stream", name="stdout", text="step 1\rstep 2\rstep 3\nthe end\n"),
    )
    assert len(cleaning.problems(notebook)) == 2
    cleaning.clean(notebook, tmp_path)
    assert [output.text for output in notebook.cells[0].outputs] == ["step 3\nthe end\n"]
    assert cleaning.problems(notebook) == []


@pytest.mark.parametrize(
    "text",
    [
        "[transformers] `loss_type=None` was set in the config but it is unrecognized.",
        "naive, seed 0:  40%|####      | 48/120 [00:01<00:02, 33.1it/s]\nUserWarning: 100% wrong",
    ],
)
def test_a_warning_stays_and_is_named(tmp_path: Path, text: str):
    notebook = executed(new_output("stream", name="stderr", text=text))
    cleaning.clean(notebook, tmp_path)
    assert notebook.cells[0].outputs[0].text == text
    (problem,) = cleaning.problems(notebook)
    assert "red box" in problem


def test_build_files_fails_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = tmp_path / "notebooks" / "source"
    folder.mkdir(parents=True)
    write_source(folder, "# %%\nimport warnings\nwarnings.warn('something is odd')\n")
    assert building.build_files(tmp_path) == 1
    assert "something is odd" in capsys.readouterr().err


def test_cleaning_makes_paths_relative_to_the_repository(tmp_path: Path):
    text = f"wrote {tmp_path}/notebooks/x.json\n"
    notebook = executed(
        new_output("stream", name="stdout", text=text), new_output("execute_result", data={"text/plain": text})
    )
    cleaning.clean(notebook, tmp_path)
    stream, result = notebook.cells[0].outputs
    assert stream.text == result.data["text/plain"] == "wrote notebooks/x.json\n"


def test_a_figure_gets_the_alternative_text_of_its_cell(tmp_path: Path):
    source = "# alt: The first\n#   figure.\nplot()\n# alt: The second.\nplot()"
    notebook = executed(figure(), figure(), source=source)
    assert any("alternative text" in problem for problem in cleaning.problems(notebook))
    cleaning.clean(notebook, tmp_path)
    metadata = [output.metadata["image/png"]["alt"] for output in notebook.cells[0].outputs]
    assert metadata == ["The first figure.", "The second."]
    assert cleaning.problems(notebook) == []


def test_nbconvert_shows_the_alternative_text(tmp_path: Path):
    from nbconvert import HTMLExporter

    notebook = executed(figure(), source="# alt: A falling curve.\nplot()")
    cleaning.clean(notebook, tmp_path)
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)
    assert 'alt="A falling curve."' in page


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (new_code_cell("pass\n" * 21), "21 lines"),
        (new_code_cell("open('/home/me/file')"), "absolute path"),
        (new_code_cell("open(r'C:\\Users\\me')"), "absolute path"),
        (new_code_cell("x", outputs=[new_output("error", ename="NameError", evalue="x", traceback=[])]), "an error"),
        (new_code_cell("x", outputs=[figure()]), "alternative text"),
        (new_code_cell("x", outputs=[new_output("stream", text="x" * 300_000)]), "at most 300000"),
    ],
)
def test_each_broken_rule_is_named(cell: NotebookNode, message: str):
    (problem,) = cleaning.problems(new_notebook(cells=[cell]))
    assert message in problem


def test_words_are_counted_cell_by_cell_and_in_the_median():
    def problems(*words: int, heading: str = "") -> list[str]:
        texts = [heading + "word " * count for count in words]
        return cleaning.problems(new_notebook(cells=[new_markdown_cell(text) for text in texts]))

    assert problems(45, 45, 91) == ["cell 3: 91 words of prose; at most 90"]
    assert problems(1, 1, 300, heading="## References\n") == []
    assert problems(46, 46, 1) == ["its prose cells have 46 words in the median; at most 45"]


def test_code_that_builds_text_is_counted_as_a_share_of_all():
    def problems(*sources: str) -> list[str]:
        return cleaning.problems(new_notebook(cells=[new_code_cell(source) for source in sources]))

    text = "from IPython.display import Markdown\n\nMarkdown(f'{x}')"
    assert problems(text, "pass\n" * 12) == []
    (problem,) = problems(text, "pass\n" * 11)
    assert "2 of its 13 lines" in problem
    assert problems("from IPython.display import Markdown", "pass") == []
    long = "Markdown(\n    f'{1}'\n    f'{2}'\n    f'{3}'\n    f'{4}'\n    f'{5}'\n)"
    assert problems(long, *["pass\n" * 20] * 3) == ["cell 1: a computed text of more than 4 lines"]


def test_what_keeps_the_rules_has_no_problems():
    cells = [
        new_markdown_cell("word " * 90 + "\n```python\n" + "code " * 99 + "\n```\n| a | table |\n"),
        new_markdown_cell("## References\n" + "word " * 200),
        new_markdown_cell("word"),
        new_markdown_cell("word"),
        new_code_cell("pass\n\n" * 20),
        new_code_cell("%pip install something"),
        new_code_cell("Markdown(\n    f'{1}'\n    f'{2}'\n    f'{3}'\n    f'{4}'\n)"),
        new_code_cell("pass\n" * 20),
        new_markdown_cell("[a link](https://example.org/home/page) and a/home/b"),
    ]
    assert cleaning.problems(new_notebook(cells=cells)) == []
