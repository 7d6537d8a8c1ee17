"""Chromium is found, installed where that is allowed, and else asked for with the command that installs it."""

import subprocess

import pytest

from cfhelpers.course import chromium


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict:
    """A machine with apt, whose user is root; ``there`` is what is on the path."""
    state: dict = {"there": {"apt-get"}, "commands": [], "works": True}

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess:
        state["commands"].append(command[1])
        if command[1] == "install" and state["works"]:
            state["there"].add("chromium")
        return subprocess.CompletedProcess(command, 0 if state["works"] else 100)

    monkeypatch.setattr(chromium.shutil, "which", lambda name: f"/bin/{name}" if name in state["there"] else None)
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 0)
    monkeypatch.setattr(chromium.subprocess, "run", run)
    return state


def test_a_browser_that_is_there_is_used(machine: dict):
    machine["there"] = {"google-chrome"}
    assert chromium.ensure() is None
    assert chromium.find() == "/bin/google-chrome"
    assert machine["commands"] == []


def test_root_gets_it_installed(machine: dict):
    assert chromium.ensure() is None
    assert machine["commands"] == ["update", "install"]


def test_a_failed_installation_is_told(machine: dict):
    machine["works"] = False
    assert "could not install" in str(chromium.ensure())


def test_others_are_told_how(machine: dict, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 1000)
    assert "sudo apt-get install chromium" in str(chromium.ensure())
    assert machine["commands"] == []
