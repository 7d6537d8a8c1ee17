"""Tables of what was learned, kept and paid, from records to pandas DataFrames: one call shows one.

Numbers over seeds stand as ``mean ± half width`` of the 95 % interval; shares (recall, accuracy) in percent. Who needs
the bare numbers takes them from the record.
"""

from cfhelpers.tables.adapters import adapter_bill
from cfhelpers.tables.answers import answers
from cfhelpers.tables.comparison import comparison, costs, differences, measured, sweep, transfer
from cfhelpers.tables.distances import predictors
from cfhelpers.tables.one_record import result_matrix
from cfhelpers.tables.readings import reading_gain, readings

__all__ = [
    "adapter_bill",
    "answers",
    "comparison",
    "costs",
    "differences",
    "measured",
    "predictors",
    "reading_gain",
    "readings",
    "result_matrix",
    "sweep",
    "transfer",
]
