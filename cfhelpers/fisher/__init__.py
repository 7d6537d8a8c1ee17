"""Importance of a language model's parameters: the diagonal of the Fisher information, and MAS.

To read it, begin with ``loop.py``: it is the definition, one example at a time. (``oracle.py`` is the same once more,
by hand and apart from everything, for what is to be tested against it.) Then ``likelihood.py``, what is
differentiated; ``contributions.py`` and ``squares.py``, the idea that gives each example's squared gradient from one
pass over a batch, with ``rules/``, one file for each kind of layer; and ``estimate.py``, where the public function
puts them together. What comes out is ``importance.py``, kept as ``storage.py`` says. ``mas.py`` is the other
importance. The rest is speed (``engine``, ``hooks``, ``fused``, ``spans``, ``activations``), many processes
(``processes``) and safety (``data``, ``padding``, ``guard``, ``selfcheck``, ``matching``, ``naming``).
"""

from cfhelpers.fisher.estimate import fisher_diagonal
from cfhelpers.fisher.importance import Importance
from cfhelpers.fisher.mas import mas_importance

__all__ = ["Importance", "fisher_diagonal", "mas_importance"]
