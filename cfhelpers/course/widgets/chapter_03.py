"""EWC on DialoGPT: try every strength of a sweep, and chat with several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets
from torch import nn

from cfhelpers import plots
from cfhelpers.course.widgets.explorer import LAYOUT, STYLE, Explorer
from cfhelpers.evaluation.scores import answer_questions
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def strengths(records: Sequence[Record]) -> Explorer:
    """Move along a sweep and see what each strength keeps of the old task and learns of the new one.

    Args:
        records: Of one method with different strengths, as ``plots.strength_sweep`` takes them.

    Returns:
        A widget with the control ``strength``.
    """
    by_strength = {record.method["strength"]: record for record in records}

    def draw(strength: float) -> tuple[str, Axes]:
        record = by_strength[strength]
        ax = plots.strength_sweep(records)
        ax.axvline(strength, color="black", linestyle=":")
        old, new = plots.kept_and_learned(record)
        return f"λ = {strength:g}: kept {old:.1f}, learned {new:.1f}", ax

    values = sorted(strength for strength in by_strength if strength > 0)
    slider = ipywidgets.SelectionSlider(
        options=[(f"{value:g}", value) for value in values],
        value=values[len(values) // 2],
        description="λ",
        continuous_update=False,
        style=STYLE,
        layout=LAYOUT,
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

    def draw(question: str, temperature: float, top_k: int, seed: int) -> tuple[str, None]:
        width = max(len(name) for name in models)
        lines = [f"{'you':>{width}}: {question}"]
        for name, model in models.items():
            reply = answer_questions(model, tokenizer, [question], temperature=temperature, top_k=top_k, seed=seed)[0]
            lines.append(f"{name:>{width}}: {reply}")
        return "\n".join(lines), None

    common = {"continuous_update": False, "style": STYLE, "layout": LAYOUT}
    return Explorer(
        draw,
        {
            "question": ipywidgets.Text(question, description="you", **common),
            "temperature": ipywidgets.FloatSlider(0.0, min=0.0, max=2.0, step=0.1, description="temperature", **common),
            "top_k": ipywidgets.IntSlider(50, min=1, max=100, description="top-k", **common),
            "seed": ipywidgets.IntSlider(0, min=0, max=20, description="seed", **common),
        },
    )
