"""What must not be on a page is found, and nothing else."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cfhelpers.course.site import building, checking

SOUND = """
<html><head><link rel="stylesheet" href="style.css"><script src="script.js"></script></head><body>
<h1 id="top">A page</h1> <img src="figure.png" alt="A line that rises.">
<a href="other.html#place">there</a> <a href="#top">here</a> <a href="https://example.org">elsewhere, if clicked</a>
<img src="data:image/png;base64,AAAA" alt="A dot."> <a href="mailto:someone@example.org">write</a>
</body></html>
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(SOUND)
    (tmp_path / "other.html").write_text('<p id="place">x</p>')
    for name in ("style.css", "script.js", "figure.png"):
        (tmp_path / name).write_text("")
    return tmp_path


def test_a_sound_page_has_no_problems(site: Path):
    assert checking.problems(site) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("other.html#place", "gone.html", "index.html: leads to nothing: gone.html"),
        ("other.html#place", "other.html#gone", "index.html: leads to no such place: other.html#gone"),
        ("#top", "#bottom", "index.html: leads to no such place: #bottom"),
        ("figure.png", "gone.png", "index.html: leads to nothing: gone.png"),
        ("A line that rises.", " ", "index.html: a figure without alternative text: figure.png"),
        (
            "script.js",
            "https://cdn.example.org/x.js",
            "index.html: fetched from elsewhere: https://cdn.example.org/x.js",
        ),
        ("style.css", "//cdn.example.org/x.css", "index.html: fetched from elsewhere: //cdn.example.org/x.css"),
        ("figure.png", "http://example.org/f.png", "index.html: fetched from elsewhere: http://example.org/f.png"),
    ],
)
def test_each_fault_is_found(site: Path, old: str, new: str, problem: str):
    page = site / "index.html"
    page.write_text(page.read_text().replace(f'"{old}"', f'"{new}"'))
    assert checking.problems(site) == [problem]


def test_a_formula_that_could_not_be_drawn_is_found(site: Path):
    (site / "other.html").write_text('<p id="place"><code class="formula-not-drawn" title="unknown">x</code></p>')
    assert checking.problems(site) == ["other.html: a formula that could not be drawn: unknown"]


def test_a_notebook_goes_to_the_site_without_badge_and_with_its_alternative_texts():
    figure = new_output("display_data", data={"image/png": "AAAA"}, metadata={"image/png": {"alt": "A falling curve."}})
    badge = "[![Open in Colab](https://colab.example/badge.svg)](https://colab.example/x.ipynb)"
    cells = [
        new_markdown_cell(f"# Title\n\n{badge}\n"),
        new_code_cell("%pip install x", metadata={"tags": ["colab"]}),
        new_code_cell("plot()", outputs=[figure]),
    ]
    made = building.for_the_site(new_notebook(cells=cells))
    assert [cell.source for cell in made.cells] == ["# Title\n\n", "plot()"]
    assert made.cells[1].metadata.mystnb == {"image": {"alt": "A falling curve."}}
    nbformat.validate(made)
