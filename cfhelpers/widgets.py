"""What a reader can turn and try: controls above, the figure or the replies they lead to below.

Only what ipywidgets 7.7 has, which is Colab's version. Each widget keeps its ``controls`` by name and its ``output``:
set a control's value in one cell, and the next cell can read ``output.outputs``. An error in a callback shows up there
and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
from torch import nn

from cfhelpers import plots
from cfhelpers.evaluation import answer_questions
from cfhelpers.records import Record


class Explorer(ipywidgets.VBox):
    """Controls, and what a function makes of their values.

    Args:
        draw: Called with the controls' values by name, at once and whenever one changes; prints or shows a figure.
        controls: By the name of the argument that each sets.
    """

    def __init__(self, draw: Callable[..., None], controls: Mapping[str, Any]) -> None:
        self.controls = dict(controls)
        self.output = ipywidgets.interactive_output(draw, self.controls)
        super().__init__([*self.controls.values(), self.output])


def training_steps(record: Record) -> Explorer:
    """Move along the optimizer steps and read every task's score there.

    Args:
        record: With curves of at least two steps.

    Returns:
        A widget with the control ``step``.
    """
    steps = sorted({point["step"] for point in record.curves})

    def draw(step: int) -> None:
        import matplotlib.pyplot as plt

        scores = plots.scores_at(record, step)
        ax = plots.learning_curves(record)
        ax.axvline(step, color="black", linestyle=":")
        print(f"After {step} steps: " + ", ".join(f"{task} {score:.1f}" for task, score in scores.items()))
        plt.show()

    slider = ipywidgets.SelectionSlider(
        options=steps, value=steps[-1], description="steps", continuous_update=False, layout={"width": "30em"}
    )
    return Explorer(draw, {"step": slider})


def strengths(records: Sequence[Record]) -> Explorer:
    """Move along a sweep and see what each strength keeps of the old task and learns of the new one.

    Args:
        records: Of one method with different strengths, as ``plots.strength_sweep`` takes them.

    Returns:
        A widget with the control ``strength``.
    """
    by_strength = {record.method["strength"]: record for record in records}

    def draw(strength: float) -> None:
        import matplotlib.pyplot as plt

        record = by_strength[strength]
        ax = plots.strength_sweep(records)
        ax.axvline(strength, color="black", linestyle=":")
        old, new = plots.kept_and_learned(record)
        print(f"λ = {strength:g}: kept {old:.1f}, learned {new:.1f}")
        plt.show()

    values = sorted(strength for strength in by_strength if strength > 0)
    slider = ipywidgets.SelectionSlider(
        options=[(f"{value:g}", value) for value in values],
        value=values[len(values) // 2],
        description="λ",
        continuous_update=False,
        layout={"width": "30em"},
    )
    return Explorer(draw, {"strength": slider})


def chat(models: Mapping[str, nn.Module], tokenizer: Any, *, question: str) -> Explorer:
    """Ask several models the same question, with the same temperature and top-k, and read their replies together.

    Args:
        models: Chat models by the name to show; they share the tokenizer.
        tokenizer: Theirs.
        question: What the box says at first.

    Returns:
        A widget with the controls ``question``, ``temperature`` (0: always the most probable token), ``top_k`` and
        ``seed`` (of the draws).
    """

    def draw(question: str, temperature: float, top_k: int, seed: int) -> None:
        width = max(len(name) for name in models)
        print(f"{'you':>{width}}: {question}")
        for name, model in models.items():
            reply = answer_questions(model, tokenizer, [question], temperature=temperature, top_k=top_k, seed=seed)[0]
            print(f"{name:>{width}}: {reply}")

    return Explorer(
        draw,
        {
            "question": ipywidgets.Text(question, description="you", continuous_update=False, layout={"width": "40em"}),
            "temperature": ipywidgets.FloatSlider(
                0.0, min=0.0, max=2.0, step=0.1, description="temperature", continuous_update=False
            ),
            "top_k": ipywidgets.IntSlider(50, min=1, max=100, description="top-k", continuous_update=False),
            "seed": ipywidgets.IntSlider(0, min=0, max=20, description="seed", continuous_update=False),
        },
    )
