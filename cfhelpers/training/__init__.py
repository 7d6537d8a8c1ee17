"""Train through tasks and keep what came out; each name is loaded when it is first used, because the Trainer is slow.

``sequence.py`` is the loop over tasks, ``one_task.py`` what happens in it, ``trainer.py`` the Hugging Face ``Trainer``
with a method in it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfhelpers.training.plans import LIVE_PLANS, PLANS, Plan
    from cfhelpers.training.records import Record, find_record, in_other_order, merge_seeds
    from cfhelpers.training.runtime import Runtime, start
    from cfhelpers.training.sequence import Learned, learn_once, learn_sequence
    from cfhelpers.training.strength import suggest_strength
    from cfhelpers.training.trainer import ContinualMixin, ContinualTrainer

_MODULE_OF = {
    "LIVE_PLANS": "plans",
    "PLANS": "plans",
    "ContinualMixin": "trainer",
    "ContinualTrainer": "trainer",
    "Learned": "sequence",
    "Plan": "plans",
    "Record": "records",
    "Runtime": "runtime",
    "find_record": "records",
    "in_other_order": "records",
    "learn_once": "sequence",
    "learn_sequence": "sequence",
    "merge_seeds": "records",
    "start": "runtime",
    "suggest_strength": "strength",
}

__all__ = [
    "LIVE_PLANS",
    "PLANS",
    "ContinualMixin",
    "ContinualTrainer",
    "Learned",
    "Plan",
    "Record",
    "Runtime",
    "find_record",
    "in_other_order",
    "learn_once",
    "learn_sequence",
    "merge_seeds",
    "start",
    "suggest_strength",
]


def __getattr__(name: str) -> Any:
    """Load a public name on its first use (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'cfhelpers.training' has no attribute {name!r}")
    return getattr(import_module(f"cfhelpers.training.{_MODULE_OF[name]}"), name)
