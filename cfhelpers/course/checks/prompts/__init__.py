"""Exercises of chapter 6: a prompt in a batch, a growing list of prompts, forward transfer."""

from cfhelpers.course.checks.prompts.batch import behind_prompt
from cfhelpers.course.checks.prompts.growing import growing_prompts
from cfhelpers.course.checks.prompts.transfer import forward_transfer

__all__ = ["behind_prompt", "forward_transfer", "growing_prompts"]
