"""Homework: a chapter becomes an assignment, a class's submissions become a table of points.

Read in this order:

``exercises``
    What exercises there are, with their points and minutes, from the chapters' sources.
``assignment``
    One chapter's source as a student's notebook, an instructor's key and nbgrader's source.
``updating``
    The teacher's edits carried over into a newer chapter, or a list of what clashes.
``package``
    The folder of an assignment: all of the above, for nbgrader or otter-grader.
``cells``
    A submission's cells recognised, wherever they went, and the notebook that is graded made from them.
``judging``
    The check of one answer, inside the kernel that runs the submission, and once more outside.
``confinement``
    A command run where it can harm nothing.
``grading``
    A folder of submissions to a table and a CSV, one learner at a time.
"""
