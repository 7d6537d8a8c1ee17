"""Widgets in a kernel, as a notebook runs them: a control is moved, and the output shows what belongs to it."""

import inspect
import re
import textwrap
from pathlib import Path

import ipywidgets
import nbformat
import pytest
from nbclient import NotebookClient

from cfhelpers.course import widgets

PRELUDE = """
import html
import re
import sys
sys.path.insert(0, ".")
from tests.plots.test_plots import make_record
from tests.plots.test_text import text_record
from cfhelpers.course import widgets

%matplotlib inline

def shown(widget):
    (text,) = re.findall("<pre.*?>(.*?)</pre>", widget.output.value, re.DOTALL)
    assert "Traceback" not in text, text
    return html.unescape(text), widget.output.value.count('<img src="data:image/png;base64,')
"""


def run(*cells):
    """Execute cells in one kernel; assertions in them are the test."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in (PRELUDE, *cells)]
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()


@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::DeprecationWarning:zmq")
def test_moving_a_control_redraws_what_belongs_to_it():
    run(
        """
        curve = widgets.training_steps(make_record(old=0.3, new=0.9))
        settings = ((0.0, 0.2), (1.0, 0.5), (10.0, 0.9))
        sweep = widgets.strengths([make_record(old=o, name="ewc", strength=s) for s, o in settings])
        """,
        """
        assert shown(curve) == ("After 20 steps: first 29.0, second 89.0", 1)
        assert shown(sweep) == ("λ = 10: kept 89.0, learned 91.0", 1)
        assert [value for _, value in sweep.controls["strength"].options] == [1.0, 10.0]
        curve.controls["step"].value = 10
        sweep.controls["strength"].value = 1.0
        """,
        """
        assert shown(curve) == ("After 10 steps: first 89.0, second -1.0", 1)
        assert shown(sweep) == ("λ = 1: kept 49.0, learned 91.0", 1)
        """,
        """
        loop = widgets.feedback({"its own words": [[0.7, 0.9, 1.0], [0.7, 0.6, 0.5]]})
        """,
        """
        text, figures = shown(loop)
        assert text == "Predicted: from 70% to 96.7% after 2 updates at temperature 0.5", text
        assert figures == 1
        loop.controls["temperature"].value = 1.0
        loop.controls["share"].value = 0.25
        """,
        """
        assert shown(loop)[0] == "Predicted: from 25% to 25.0% after 2 updates at temperature 1"
        """,
        # The chat hands its controls on to every model; what a model makes of them is test_evaluation's business.
        """
        def reply(model, tokenizer, questions, **settings):
            return [f"{model} says {tokenizer} {questions} {settings}"]

        widgets.chapter_03.answer_questions = reply
        chat = widgets.chat({"naive": "n", "kept": "k"}, "t", question="Who?")
        """,
        """
        wanted = {"temperature": 0.0, "top_k": 50, "seed": 0}
        text, figures = shown(chat)
        assert text == f"  you: Who?\\nnaive: n says t ['Who?'] {wanted}\\n kept: k says t ['Who?'] {wanted}", text
        chat.controls["temperature"].value = 0.7
        chat.controls["top_k"].value = 3
        chat.controls["question"].value = "Why?"
        """,
        """
        assert shown(chat)[0].endswith("k says t ['Why?'] {'temperature': 0.7, 'top_k': 3, 'seed': 0}")
        chat.controls["seed"].value = 4
        """,
        """
        assert "'seed': 4" in shown(chat)[0]
        """,
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::DeprecationWarning:zmq")
def test_a_message_in_another_thread_leaves_a_figure_to_the_one_that_draws_it():
    run(
        """
        import ipywidgets
        import matplotlib.pyplot as plt
        from matplotlib_inline.backend_inline import flush_figures
        from threading import Thread

        def draw(end):
            _, ax = plt.subplots()
            ax.plot([0, end])
            other = Thread(target=flush_figures)  # what follows every message of a widget
            other.start()
            other.join()
            assert plt.get_fignums(), "the figure was drawn and closed by somebody else"
            return f"to {end}", ax

        explorer = widgets.Explorer(draw, {"end": ipywidgets.IntSlider(1)})
        """,
        """
        assert shown(explorer) == ("to 1", 1)
        explorer.controls["end"].value = 2
        """,
        """
        assert shown(explorer) == ("to 2", 1)
        assert plt.isinteractive()
        assert not plt.get_fignums()
        """,
    )


def test_an_error_is_shown_and_not_swallowed():
    explorer = widgets.Explorer(lambda share: (f"{1 / share:.0f} & <more>", None), {"share": ipywidgets.FloatText(0.5)})
    assert explorer.output.value.endswith(">2 &amp; &lt;more&gt;</pre>")
    with pytest.raises(ZeroDivisionError):
        explorer.controls["share"].value = 0.0
    assert "Traceback" in explorer.output.value
    assert "ZeroDivisionError" in explorer.output.value


@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::DeprecationWarning:zmq")
def test_moving_along_the_retention_learning_curve():
    run(
        """
        records = [text_record(0.4, 1.0, strength=10.0), text_record(0.8, 0.6, strength=1.0)]
        records += [text_record(0.7, 0.7, "l2sp", strength=0.1), text_record(1.5, 0.5, "naive")]
        curve = widgets.retention(records)
        """,
        """
        assert curve.controls["method"].options == ("ewc", "l2sp")
        assert shown(curve) == ("ewc, λ = 10: first 0.400 ± 0.075 nats, second 1.000 ± 0.149 nats", 1), shown(curve)
        curve.controls["strength"].value = 0
        """,
        """
        assert shown(curve) == ("ewc, λ = 1: first 0.800 ± 0.075 nats, second 0.600 ± 0.149 nats", 1), shown(curve)
        curve.controls["strength"].value = 1
        curve.controls["method"].value = "l2sp"  # has one strength only
        """,
        """
        assert shown(curve)[0].startswith("l2sp, λ = 0.1: first 0.700"), shown(curve)
        """,
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::DeprecationWarning:zmq")
def test_choosing_a_buffer_and_its_share():
    run(
        """
        kept = {(0.1, 0.25): 0.3, (0.1, 0.5): 0.5, (0.2, 0.25): 0.6, (0.2, 0.5): 0.7}
        records = [make_record(old=old, name="replay", fraction=f, share=s) for (f, s), old in kept.items()]
        buffer = widgets.buffers(records)
        """,
        """
        assert shown(buffer) == ("20.0% kept, share 50%: old 69.0, new 91.0 (3 seed(s))", 1), shown(buffer)
        buffer.controls["fraction"].value = 0.1
        buffer.controls["share"].value = 0.25
        """,
        """
        assert shown(buffer) == ("10.0% kept, share 25%: old 29.0, new 91.0 (3 seed(s))", 1), shown(buffer)
        """,
    )


def test_only_what_the_oldest_supported_ipywidgets_has():
    sources = Path(inspect.getfile(widgets)).parent.glob("*.py")
    used = {name for source in sources for name in re.findall(r"ipywidgets\.(\w+)", source.read_text())}
    assert used == {
        "Dropdown",
        "VBox",
        "HTML",
        "SelectionSlider",
        "Text",
        "FloatSlider",
        "FloatLogSlider",
        "IntSlider",
    }
