"""The prompted batch: what is said and drawn belongs to the controls."""

import html
import re

import matplotlib.pyplot as plt
import pytest

from cfhelpers.course import widgets
from cfhelpers.plots import prompt_layout


def said(widget):
    (text,) = re.findall("<pre.*?>(.*?)</pre>", widget.output.value, re.DOTALL)
    return html.unescape(text), widget.output.value.count("<img")


def test_moving_a_control_redraws_the_batch():
    widget = widgets.prompted_batch()
    assert said(widget) == (
        "Task 2 reads 6 vectors with 8 tokens: 14 positions, 1.8 times the text and 3.1 times its pairs in attention",
        1,
    )
    before = widget.output.value
    for name, value in {"side": "left", "model": "encoder"}.items():
        widget.controls[name].value = value
        assert widget.output.value != before
        before = widget.output.value
    widget.controls["tasks"].value = 4
    widget.controls["vectors"].value = 2
    assert said(widget)[0].startswith("Task 4 reads 8 vectors with 8 tokens: 16 positions, 2.0 times")


@pytest.mark.parametrize(
    ("side", "encoder", "rows"),
    [
        ("right", False, ["nnoottt", "nnoot__"]),
        ("left", False, ["nnoottt", "__nnoot"]),
        ("left", True, ["tnnoott", "__tnnoo"]),
        ("right", True, ["tnnoott", "tnnoo__"]),
    ],
)
def test_the_layout_is_that_of_the_models(side, encoder, rows):
    ax = prompt_layout([3, 1], tasks=2, vectors=2, side=side, encoder=encoder)
    colours = {"#ffffff": "_", "#56b4e9": "t", "#999999": "o", "#e69f00": "n"}
    from matplotlib.colors import to_hex

    cells = {(int(patch.get_y()), int(patch.get_x())): colours[to_hex(patch.get_facecolor())] for patch in ax.patches}
    assert ["".join(cells[row, column] for column in range(7)) for row in range(2)] == rows
    numbers = [int(text.get_text()) for text in ax.texts]
    assert numbers == ([0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0] if encoder else [*range(7), *range(5)])
    plt.close("all")
