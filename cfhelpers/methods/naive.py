"""Train on the new task and hope: the lower bound of every comparison."""

from cfhelpers.methods.base import Method


class Naive(Method):
    """Ordinary fine-tuning, one task after the other."""

    name = "naive"
