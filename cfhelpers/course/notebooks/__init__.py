"""Notebooks: built from their sources, executed, cleaned and checked.

A source is ``notebooks/source/NN_slug.py`` in jupytext's percent format. Beyond what jupytext reads, a source may say:

``# %% exercise="3.1"``
    A code cell with the learner's stub. The solution stands between ``### BEGIN SOLUTION`` and ``### END SOLUTION``;
    nbgrader's own preprocessor takes it out of the learner's notebook.
``# %% graded="3.1" points=2``
    A code cell for the teacher and the tests only (``checks.require_solved("3.1")``): not in the learner's notebook.
``# {{solution 3.1}}`` in a markdown cell
    Becomes the code of exercise 3.1 with its solution, so that the folded solution cannot differ from the tested one.
``# {{colab badge}}`` in a markdown cell, ``# {{colab install}}`` in a code cell with ``tags=["colab"]``
    Become the badge and the install cell, from ``[tool.cfhelpers]`` in pyproject.toml.
``# alt: …`` in a code cell
    The alternative text of the cell's next figure; it may go on in lines that start with ``#  `` (two spaces).
"""
