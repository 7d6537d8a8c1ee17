"""What all tests of the checks start from."""

import pytest


@pytest.fixture(autouse=True)
def nothing_solved_before(monkeypatch):
    monkeypatch.setattr("cfhelpers.course.checks.exercise._solved", set())
