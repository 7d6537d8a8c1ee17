"""The commands, without installing anything."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from cfhelpers import environment
from cfhelpers.course import commands, installation
from cfhelpers.course.notebooks.execution import Outcome


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with nothing in it, whose environment is this Python's."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "notebooks").mkdir()
    for name in ("pyproject.toml", ".ci/constraints.txt", ".ci/laptop.txt"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(installation, "repository", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def ready(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(installation, "ready_python", lambda *_, **__: Path(sys.executable))
    return project


class Shell:
    """Stands in for ``subprocess.run``: remembers commands, makes the Python that ``venv`` would make."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.failing = ""

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess:
        self.commands.append(command)
        if "venv" in command:
            python = installation.environment_python(Path(command[-1]).parent)
            python.parent.mkdir(parents=True)
            python.touch()
        failed = bool(self.failing) and any(self.failing in word for word in command)
        return subprocess.CompletedProcess(command, int(failed))

    def of_pip(self) -> list[str]:
        return [" ".join(command[2:]) for command in self.commands if "pip" in command]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell()
    monkeypatch.setattr(subprocess, "run", shell)
    monkeypatch.setattr(installation, "_active_environment_has", lambda *_: False)
    monkeypatch.setattr(environment, "answers", lambda *_: False)
    return shell


def write_notebook(folder: Path, name: str, code: str) -> None:
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), folder / "notebooks" / f"{name}.ipynb")


# Installing


def test_the_environment_is_made_once(project: Path, shell: Shell):
    python = installation.ready_python(project, ["lab"])
    assert python == installation.environment_python(project)
    assert "venv" in shell.commands[0]
    (install,) = shell.of_pip()
    assert "--constraint .ci/constraints.txt --editable .[lab]" in install
    shell.commands.clear()
    assert installation.ready_python(project, ["lab"]) == python
    assert shell.commands == []


def test_another_extra_is_added_to_what_is_there(project: Path, shell: Shell):
    installation.ready_python(project, ["lab"])
    installation.ready_python(project, ["test"])
    assert shell.of_pip()[-1].endswith(".[lab,test]")
    assert sum("venv" in command for command in shell.commands) == 1


@pytest.mark.parametrize("name", ["pyproject.toml", ".ci/constraints.txt", ".ci/laptop.txt"])
def test_a_change_of_what_is_pinned_installs_again(project: Path, shell: Shell, name: str):
    installation.ready_python(project, ["lab"])
    (project / name).write_text("changed")
    installation.ready_python(project, ["lab"])
    assert len(shell.of_pip()) == 2


def test_laptop_models_are_installed_without_their_dependencies(project: Path, shell: Shell):
    installation.ready_python(project, ["lab"], laptop_models=True)
    assert shell.of_pip()[-1].endswith("--no-deps --requirement .ci/laptop.txt")
    assert ".[lab]" in shell.of_pip()[0]


def test_a_failed_installation_says_so_and_is_tried_again(project: Path, shell: Shell):
    shell.failing = "pip"
    with pytest.raises(installation.InstallationError, match="no network"):
        installation.ready_python(project, ["lab"])
    shell.failing = ""
    installation.ready_python(project, ["lab"])
    assert len(shell.of_pip()) == 2


def test_a_python_that_makes_no_environments_is_named_with_its_remedy(project: Path, shell: Shell):
    shell.failing = "venv"
    with pytest.raises(installation.InstallationError, match=r"python3-venv.*conda"):
        installation.ready_python(project, ["lab"])
    assert not (project / ".venv").exists()


def test_a_stamp_cut_off_in_the_middle_counts_for_nothing(project: Path, shell: Shell):
    installation.ready_python(project, ["lab"])
    stamp = project / ".venv" / "cfhelpers-installed.json"
    assert json.loads(stamp.read_text())["installed"] == ["lab"]
    stamp.write_text('{"key": "')
    installation.ready_python(project, ["lab"])
    assert len(shell.of_pip()) == 2


def test_an_environment_of_ones_own_is_used_as_it_is(project: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installation, "_active_environment_has", lambda *_: True)
    monkeypatch.setattr(installation, "_has_laptop_models", lambda: True)
    assert installation.ready_python(project, ["lab"], laptop_models=True) == Path(sys.executable)
    assert shell.commands == []


@pytest.fixture
def without_a_card(project: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A machine on which torch's build for the CPU is the right one."""
    (project / ".ci" / "constraints.txt").write_text("numpy==2.4.6\ntorch==2.13.0\ntornado==6.6.1\n")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(installation, "_has_nvidia_card", lambda: False)
    monkeypatch.setattr(
        environment, "answers", lambda address: address == "https://download.pytorch.org/whl/cpu/torch/"
    )
    return shell


def test_linux_without_a_card_gets_torch_for_the_cpu(project: Path, without_a_card: Shell):
    installation.ready_python(project, ["lab"])
    torch, rest = without_a_card.of_pip()
    assert "--index-url https://download.pytorch.org/whl/cpu torch==2.13.0" in torch
    assert "--no-deps" in torch
    assert "--editable .[lab]" in rest
    assert "--index-url" not in rest


@pytest.mark.parametrize("why", ["no answer", "a card", "macOS", "torch is there"])
def test_torch_is_left_to_pypi_where_the_other_build_is_not_wanted_or_not_to_be_had(
    why: str, project: Path, without_a_card: Shell, monkeypatch: pytest.MonkeyPatch
):
    if why == "no answer":
        monkeypatch.setattr(environment, "answers", lambda _: False)
    elif why == "a card":
        monkeypatch.setattr(installation, "_has_nvidia_card", lambda: True)
    elif why == "macOS":
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        monkeypatch.setattr(installation, "_make_environment", lambda root: None)
        (project / ".venv" / "lib" / "python3.12" / "site-packages" / "torch-2.13.0.dist-info").mkdir(parents=True)
    installation.ready_python(project, ["lab"])
    (only,) = without_a_card.of_pip()
    assert "--editable .[lab]" in only


def test_an_index_that_fails_after_all_is_no_obstacle(
    project: Path, without_a_card: Shell, capsys: pytest.CaptureFixture
):
    without_a_card.failing = "whl/cpu"
    assert installation.ready_python(project, ["lab"]) == installation.environment_python(project)
    assert len(without_a_card.of_pip()) == 2
    assert "taking torch from PyPI" in capsys.readouterr().out


# Commands


def test_the_table_has_a_line_for_each_notebook():
    outcomes = [Outcome("01_a", 3.21, None), Outcome("03_longer", 123.4, "cell 2 failed")]
    assert commands.course_table(outcomes).splitlines() == [
        "notebook   seconds  ok",
        "01_a           3.2  yes",
        "03_longer    123.4  no",
    ]


def test_a_course_that_runs_ends_with_zero_and_leaves_the_notebooks_alone(ready: Path, capsys: pytest.CaptureFixture):
    write_notebook(ready, "01_fine", "import os\nos.environ['CF_PROFILE']")
    before = (ready / "notebooks" / "01_fine.ipynb").read_bytes()
    assert commands.main(["course"]) == 0
    assert "01_fine" in capsys.readouterr().out
    assert (ready / "notebooks" / "01_fine.ipynb").read_bytes() == before
    assert "'tiny'" in (ready / "build" / "course" / "tiny" / "01_fine.ipynb").read_text()


def test_a_failing_notebook_is_named_with_its_error_and_the_others_still_run(
    ready: Path, capsys: pytest.CaptureFixture
):
    write_notebook(ready, "01_broken", "raise KeyError('blue')")
    write_notebook(ready, "02_fine", "1 + 1")
    assert commands.main(["course"]) == 1
    printed = capsys.readouterr()
    lines = {line.split()[0]: line.split()[-1] for line in printed.out.splitlines() if line.endswith(("yes", "no"))}
    assert lines == {"01_broken": "no", "02_fine": "yes"}
    assert "KeyError: 'blue'" in printed.err


def test_a_course_without_notebooks_is_an_error(ready: Path, capsys: pytest.CaptureFixture):
    assert commands.main(["course"]) == 1
    assert "no notebook" in capsys.readouterr().err


def test_a_course_of_some_chapters(ready: Path, capsys: pytest.CaptureFixture):
    for name in ("00_zero", "01_one", "02_two"):
        write_notebook(ready, name, "1 + 1")
    assert commands.main(["course", "02", "00"]) == 0
    assert re.findall(r"^(\w+) .* yes$", capsys.readouterr().out, re.MULTILINE) == ["00_zero", "02_two"]
    assert commands.main(["course", "00", "07"]) == 1
    assert "none of 07; there are 00_zero, 01_one, 02_two" in capsys.readouterr().err


def test_options_of_jupyterlab_are_handed_on(ready: Path, shell: Shell, capsys: pytest.CaptureFixture):
    for given in (["--allow-root", "--port", "9999"], ["--", "--allow-root", "--port", "9999"]):
        assert commands.main(["lab", "--profile", "laptop", *given]) == 0
        command = shell.commands.pop()
        assert command[2] == "jupyterlab"
        assert command[-4:] == ["--allow-root", "--port", "9999", str(ready / "notebooks")]
        assert "laptop" not in command
    with pytest.raises(SystemExit):
        commands.main(["course", "--allow-root"])
    assert "unrecognized arguments: --allow-root" in capsys.readouterr().err


def test_full_without_a_hub_fails_before_anything_is_installed(
    project: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def unreachable() -> None:
        raise environment.HubUnreachable("the hub does not answer")

    monkeypatch.setattr(environment, "require_hub", unreachable)
    assert commands.main(["course", "--profile", "full"]) == 1
    assert "the hub does not answer" in capsys.readouterr().err
    assert shell.commands == []


def test_an_unknown_profile_is_refused(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        commands.main(["course", "--profile", "huge"])
    assert "'huge'" in capsys.readouterr().err


def test_the_checks_stop_at_the_first_that_fails(ready: Path, shell: Shell, capsys: pytest.CaptureFixture):
    assert commands.main(["test"]) == 0
    assert [command[2] for command in shell.commands] == ["ruff", "ruff", "pyright", "pytest"]
    shell.commands.clear()
    shell.failing = "pyright"
    assert commands.main(["test"]) == 1
    assert [command[2] for command in shell.commands] == ["ruff", "ruff", "pyright"]
    assert "types failed" in capsys.readouterr().err


def test_a_command_goes_on_in_the_projects_python(project: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch):
    other = project / "python"
    monkeypatch.setattr(installation, "ready_python", lambda *_, **__: other)
    shell.failing = "course"  # the other Python's exit status is handed on
    assert commands.main(["course", "--profile", "laptop"]) == 1
    assert shell.commands == [[str(other), "-m", "cfhelpers", "course", "--profile", "laptop"]]


@pytest.mark.usefixtures("ready")
def test_results_hands_on_chapter_and_profile(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    from cfhelpers.course import results, summary

    calls = []
    monkeypatch.setattr(results, "regenerate", lambda *a, **k: calls.append((a, k)) or Path("03.json"))
    monkeypatch.setattr(summary, "update_readme", lambda path: calls.append(path.name))
    assert commands.main(["results", "03", "--profile", "laptop"]) == 0
    assert calls == [(("03",), {"profile": "laptop", "keep": False}), "README.md"]
    assert commands.main(["results", "03", "--keep"]) == 0
    assert calls[2] == (("03",), {"profile": "tiny", "keep": True})
    assert commands.main(["results", "99"]) == 1
    assert "'99' has no stored results; there are 01" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        commands.main(["results", "03", "--keep", "--profile", "tinny"])
    assert "invalid choice: 'tinny'" in capsys.readouterr().err


@pytest.mark.usefixtures("ready")
def test_results_says_what_is_wrong_with_a_file_that_it_cannot_keep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    from cfhelpers.course import results, stored_runs, summary

    def refuse(*_, **__):
        raise stored_runs.UnreadableResults("03_x.tiny.json cannot be read: it is cut off.")

    monkeypatch.setattr(results, "regenerate", refuse)
    monkeypatch.setattr(summary, "update_readme", lambda _: pytest.fail("the README was written"))
    assert commands.main(["results", "03", "--keep"]) == 1
    assert capsys.readouterr().err == "Error: 03_x.tiny.json cannot be read: it is cut off.\n"


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(("which", "expected"), [([], ["causal", "encoder"]), (["encoder"], ["encoder"])])
def test_pretrain_trains_what_it_is_asked_for(which: list, expected: list, monkeypatch: pytest.MonkeyPatch):
    from cfhelpers.models.pretraining import causal, encoder

    trained = []
    monkeypatch.setattr(causal, "pretrain_causal", lambda: trained.append("causal"))
    monkeypatch.setattr(encoder, "pretrain_encoder", lambda: trained.append("encoder"))
    assert commands.main(["pretrain", *which]) == 0
    assert trained == expected


def test_output_that_an_old_code_page_lacks_stops_no_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installation, "ready_python", lambda *_, **__: Path(sys.executable))
    file = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(file, encoding="cp1252"))  # as redirected on Windows
    assert commands.main(["homework", "list", "03"]) == 0
    sys.stdout.flush()
    assert "a batch of dialogue  ???" in file.getvalue().decode("cp1252")  # its stars


def test_an_old_python_is_told_what_to_do():
    code = (
        "import runpy, sys; sys.path.insert(0, '.'); sys.version_info = (3, 9, 1); "
        "runpy.run_module('cfhelpers', run_name='__main__')"
    )
    root = Path(__file__).resolve().parents[2]
    finished = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert "needs Python 3.11 or newer; this is 3.9" in finished.stderr
    assert "Traceback" not in finished.stderr
