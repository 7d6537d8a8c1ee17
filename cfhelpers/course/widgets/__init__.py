"""What a reader can turn and try: controls above, the figure or the replies they lead to below, one file per chapter.

Only what ipywidgets 7.7 has, which is Colab's version. Each widget keeps its ``controls`` by name and its ``output``,
as HTML: set a control's value, and ``output.value`` is what belongs to it. An error in a callback shows up there.
"""

from cfhelpers.course.widgets.chapter_00 import feedback
from cfhelpers.course.widgets.chapter_01 import training_steps
from cfhelpers.course.widgets.chapter_02 import two_bowls
from cfhelpers.course.widgets.chapter_03 import chat, strengths
from cfhelpers.course.widgets.chapter_04 import retention
from cfhelpers.course.widgets.chapter_05 import rates
from cfhelpers.course.widgets.chapter_06 import prompted_batch
from cfhelpers.course.widgets.chapter_07 import buffers
from cfhelpers.course.widgets.chapter_08 import distances
from cfhelpers.course.widgets.explorer import Explorer

__all__ = [
    "Explorer",
    "buffers",
    "chat",
    "distances",
    "feedback",
    "prompted_batch",
    "rates",
    "retention",
    "strengths",
    "training_steps",
    "two_bowls",
]
