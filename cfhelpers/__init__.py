"""What a language model loses when it learns something new, and what it costs to keep it.

Start with ``import cfhelpers as cf`` and ``run = cf.start(seed=0)``. Importing the package imports nothing heavy:
every name below is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfhelpers import evaluation, methods, metrics, models, plots, tables, tasks, training, worlds
    from cfhelpers.course import checks, results, widgets
    from cfhelpers.fisher import Importance, fisher_diagonal, mas_importance
    from cfhelpers.methods import EWC
    from cfhelpers.methods.penalty import QuadraticPenalty
    from cfhelpers.training.plans import Plan
    from cfhelpers.training.records import Record
    from cfhelpers.training.runtime import Runtime, start
    from cfhelpers.training.sequence import learn_once, learn_sequence
    from cfhelpers.training.strength import suggest_strength
    from cfhelpers.training.trainer import ContinualMixin, ContinualTrainer

__version__ = "0.1.0"

__all__ = [
    "EWC",
    "ContinualMixin",
    "ContinualTrainer",
    "Importance",
    "Plan",
    "QuadraticPenalty",
    "Record",
    "Runtime",
    "checks",
    "evaluation",
    "fisher_diagonal",
    "learn_once",
    "learn_sequence",
    "mas_importance",
    "methods",
    "metrics",
    "models",
    "plots",
    "results",
    "start",
    "suggest_strength",
    "tables",
    "tasks",
    "training",
    "widgets",
    "worlds",
]

_MODULE_OF = {
    "EWC": "cfhelpers.methods",
    "ContinualMixin": "cfhelpers.training.trainer",
    "ContinualTrainer": "cfhelpers.training.trainer",
    "Importance": "cfhelpers.fisher",
    "QuadraticPenalty": "cfhelpers.methods.penalty",
    "Record": "cfhelpers.training.records",
    "Runtime": "cfhelpers.training.runtime",
    "fisher_diagonal": "cfhelpers.fisher",
    "Plan": "cfhelpers.training.plans",
    "learn_once": "cfhelpers.training.sequence",
    "learn_sequence": "cfhelpers.training.sequence",
    "mas_importance": "cfhelpers.fisher",
    "start": "cfhelpers.training.runtime",
    "suggest_strength": "cfhelpers.training.strength",
}

# Folders that the course needs and the library does not; readers find them at the root all the same.
_COURSE = ("checks", "results", "widgets")


def __getattr__(name: str) -> Any:
    """Load a public name on its first use (PEP 562)."""
    if name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
    elif name in __all__:
        value = import_module(f"cfhelpers.course.{name}" if name in _COURSE else f"cfhelpers.{name}")
    else:
        raise AttributeError(f"module 'cfhelpers' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
