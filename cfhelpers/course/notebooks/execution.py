"""Execute a notebook in a kernel of the Python that runs now."""

import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat import NotebookNode

if TYPE_CHECKING:
    from jupyter_client.manager import KernelManager

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_SECONDS_PER_CELL = {"tiny": 300, "laptop": 3600, "full": 3600}


@dataclass(frozen=True)
class Outcome:
    """What came of executing one notebook; ``error`` is the failing cell and its message, or None."""

    name: str
    seconds: float
    error: str | None


def execute_file(path: Path, target: Path, profile: str) -> Outcome:
    """Execute a copy of a notebook in the notebook's own folder and write it, outputs and all, to ``target``."""
    notebook = nbformat.read(path, as_version=4)
    outcome = execute(notebook, path.stem, path.parent, profile)
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    return outcome


def execute(notebook: NotebookNode, name: str, folder: Path, profile: str) -> Outcome:
    """Execute a notebook in place, up to the first failing cell, with one line of progress.

    Args:
        notebook: Its outputs are replaced.
        name: What to call it in the progress and in the outcome.
        folder: The working directory of the kernel.
        profile: What ``CF_PROFILE`` is set to.

    Returns:
        How long it took and what went wrong, if anything.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

    running = 0

    def on_cell_start(cell: NotebookNode, cell_index: int) -> None:
        nonlocal running
        running = cell_index
        _show_progress(f"{name}: cell {cell_index + 1} of {len(notebook.cells)}")

    client = NotebookClient(
        notebook,
        km=_kernel_manager(),
        timeout=_SECONDS_PER_CELL[profile],
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=on_cell_start,
    )
    variables = {**os.environ, "CF_PROFILE": profile}
    variables.pop("MPLBACKEND", None)  # figures belong into the notebook, whatever this process draws with
    started = time.perf_counter()
    message = None
    try:
        client.execute(cleanup_kc=True, env=variables)  # by default nbclient leaves our manager's kernel running
    except CellExecutionError as error:
        message = _ANSI.sub("", str(error))
    except (CellControlSignal, DeadKernelError) as error:  # too slow, or killed, most often for want of memory
        message = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    _show_progress(f"{name}: {'FAILED' if message else 'ok'} after {seconds:.1f} s", end="\n")
    return Outcome(name, seconds, f"cell {running + 1} failed.\n{message}" if message else None)


def _show_progress(text: str, end: str = "") -> None:
    """Rewrite one line on a terminal; elsewhere only its last state is worth a line."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end=end, flush=True)
    elif end:
        print(text, end=end, flush=True)


def _kernel_manager() -> "KernelManager":
    """Return a manager whose kernel is this very Python, whatever kernels the user has installed under its name."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
            return KernelSpec(argv=command, display_name="Python 3", language="python")

    return AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())
