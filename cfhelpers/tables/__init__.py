"""Tables of what was learned, kept and paid, from records to pandas DataFrames: one call shows one.

Numbers over seeds stand as ``mean ± half width`` of the 95 % interval; shares (recall, accuracy) in percent. Who needs
the bare numbers takes them from the record.
"""

from cfhelpers.tables.answers import answers
from cfhelpers.tables.comparison import comparison, costs, sweep, transfer
from cfhelpers.tables.distances import predictors
from cfhelpers.tables.one_record import result_matrix

__all__ = ["answers", "comparison", "costs", "predictors", "result_matrix", "sweep", "transfer"]
