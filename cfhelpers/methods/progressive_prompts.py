"""Progressive prompts: a prompt per task, learned in front of all earlier ones, which stay as they are."""

from __future__ import annotations

from cfhelpers.methods.prompts import PromptMethod


class ProgressivePrompts(PromptMethod):
    """Learn a soft prompt for each task and prepend it to those of the tasks before (Razdaibiedina et al., 2023).

    Task k reads ``[P_k, …, P_1, x]`` with a frozen model and frozen earlier prompts, while its own P_k and head are
    learned (arXiv 2301.12314, section 3). Nothing that an old task uses ever changes, so that nothing is forgotten;
    whoever asks has to say the task. Earlier prompts may help a later task: that is forward transfer. The text grows
    by P tokens with each task.

    Args and errors: as for :class:`cfhelpers.methods.prompts.PromptMethod`.
    """

    name = "progressive_prompts"

    def prompt_names(self, task_name: str) -> list[str]:
        """Return the task's own prompt and those of all tasks before it, the newest first."""
        names = list(self.prompts)
        earlier = names[: names.index(task_name)] if task_name in names else names
        return [task_name, *reversed(earlier)]
