"""What only the course needs: exercises' checks, widgets, experiments, notebooks, stored results, commands.

Nothing is imported here, so that ``python -m cfhelpers`` starts before the library's dependencies are installed.
"""
