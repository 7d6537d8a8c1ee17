"""What a language model loses when it learns something new, and what it costs to keep it.

Start with ``import cfhelpers as cf`` and ``run = cf.start(seed=0)``. Importing the package imports nothing heavy:
every name below is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfhelpers import checks, methods, metrics, plots, results, tasks, widgets
    from cfhelpers.fisher import Importance, fisher_diagonal, mas_importance
    from cfhelpers.methods import EWC
    from cfhelpers.penalty import QuadraticPenalty
    from cfhelpers.plans import Plan
    from cfhelpers.records import Record
    from cfhelpers.runtime import Runtime, start
    from cfhelpers.strength import suggest_strength
    from cfhelpers.trainer import ContinualMixin, ContinualTrainer
    from cfhelpers.training import learn_once, learn_sequence

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
    "fisher_diagonal",
    "learn_once",
    "learn_sequence",
    "mas_importance",
    "methods",
    "metrics",
    "plots",
    "results",
    "start",
    "suggest_strength",
    "tasks",
    "widgets",
]

_MODULE_OF = {
    "EWC": "cfhelpers.methods",
    "ContinualMixin": "cfhelpers.trainer",
    "ContinualTrainer": "cfhelpers.trainer",
    "Importance": "cfhelpers.fisher",
    "QuadraticPenalty": "cfhelpers.penalty",
    "Record": "cfhelpers.records",
    "Runtime": "cfhelpers.runtime",
    "fisher_diagonal": "cfhelpers.fisher",
    "Plan": "cfhelpers.plans",
    "learn_once": "cfhelpers.training",
    "learn_sequence": "cfhelpers.training",
    "mas_importance": "cfhelpers.fisher",
    "start": "cfhelpers.runtime",
    "suggest_strength": "cfhelpers.strength",
}


def __getattr__(name: str) -> Any:
    """Load a public name on its first use (PEP 562)."""
    if name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
    elif name in __all__:
        value = import_module(f"cfhelpers.{name}")
    else:
        raise AttributeError(f"module 'cfhelpers' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
