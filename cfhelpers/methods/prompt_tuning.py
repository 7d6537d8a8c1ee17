"""Prompt tuning: one soft prompt per task, or one through all of them."""

from __future__ import annotations

from typing import Any

from cfhelpers.methods.prompts import PromptMethod

SHARED = "shared prompt"


class PromptTuning(PromptMethod):
    """Learn one soft prompt per task in front of a frozen model (Lester et al., 2021), each by itself.

    No task sees another's prompt, so nothing is forgotten and nothing transferred: this is learning each task alone.
    With ``shared``, one prompt is trained through all tasks and can forget like any weight.

    Args:
        length: As for :class:`cfhelpers.methods.prompts.PromptMethod`, as are errors and all other arguments.
        shared: Train one prompt through all tasks.
        **settings: ``learning_rate``, ``bottleneck``, ``words`` (a shared prompt starts from the first task's).
    """

    name = "prompt_tuning"

    def __init__(self, length: int = 10, *, shared: bool = False, **settings: Any) -> None:
        super().__init__(length, **settings)
        self.shared = shared

    def prompt_names(self, task_name: str) -> list[str]:
        """Return the task's own prompt, or the shared one."""
        return [SHARED if self.shared else task_name]

    def settings(self) -> dict[str, Any]:
        """Return also whether the prompt is shared."""
        return {**super().settings(), "shared": self.shared}
