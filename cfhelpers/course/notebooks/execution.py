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
    """What came of executing one notebook; ``error`` is the failing cell, such as "In [7]", and its message."""

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
    """Execute a notebook in place, up to the first failing cell, and show which cell is running and since when.

    Args:
        notebook: Its outputs are replaced.
        name: What to call it in the progress and in the outcome.
        folder: The working directory of the kernel.
        profile: What ``CF_PROFILE`` is set to.

    Returns:
        How long it took and what went wrong, if anything.
    """
    from jupyter_core.utils import ensure_event_loop
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

    numbers = _execution_counts(notebook)
    progress = _Progress(name, len(numbers))

    def on_cell_start(cell: NotebookNode, cell_index: int) -> None:
        if cell_index in numbers:
            progress.show(numbers[cell_index])

    # Of Windows' two event loops the one that ZMQ's sockets work with; it warns of the other. Elsewhere there is one.
    ensure_event_loop(prefer_selector_loop=True)
    client = NotebookClient(
        notebook,
        km=_kernel_manager(),
        timeout=_SECONDS_PER_CELL[profile],
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=on_cell_start,
    )
    variables = {**os.environ, "CF_PROFILE": profile}
    variables.pop("MPLBACKEND", None)  # figures belong into the notebook, whatever this process draws with
    message = None
    try:
        client.execute(cleanup_kc=True, env=variables)  # by default nbclient leaves our manager's kernel running
    except CellExecutionError as error:
        message = _ANSI.sub("", str(error))
    except (CellControlSignal, DeadKernelError) as error:  # too slow, or killed, most often for want of memory
        message = f"{type(error).__name__}: {error}"
    seconds = progress.end("FAILED" if message else "ok")
    return Outcome(name, seconds, f"In [{progress.running}] failed.\n{message}" if message else None)


def _execution_counts(notebook: NotebookNode) -> dict[int, int]:
    """Return the number in ``In [ ]`` that a notebook run from the top gives to each of its cells with code."""
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
    return {index: count for count, index in enumerate(code, start=1)}


class _Progress:
    """One line that a terminal rewrites; elsewhere a new line now and then.

    Attributes:
        running: The number of the cell that was shown last.
        width: Characters on the line that a terminal shows now. Blanks cover them: consoles that know no escape
            sequences, as older ones of Windows, print those.
    """

    SECONDS_BETWEEN_LINES = 15

    def __init__(self, name: str, cells: int) -> None:
        self.name, self.cells, self.running = name, cells, 0
        self.started = self.shown = time.perf_counter()
        self.width = 0

    def show(self, running: int) -> None:
        """Say which cell is running."""
        self.running = running
        now = time.perf_counter()
        text = f"{self.name}: cell {running} of {self.cells}, {now - self.started:.0f} s"
        if sys.stdout.isatty():
            print(f"\r{text:<{self.width}}", end="", flush=True)
            self.width = len(text)
        elif now - self.shown >= self.SECONDS_BETWEEN_LINES:
            self.shown = now
            print(text, flush=True)

    def end(self, verdict: str) -> float:
        """Say how it ended, and return the seconds it took."""
        seconds = time.perf_counter() - self.started
        begin = "\r" if sys.stdout.isatty() else ""
        print(f"{begin}{f'{self.name}: {verdict} after {seconds:.1f} s':<{self.width}}", flush=True)
        return seconds


def _kernel_manager() -> "KernelManager":
    """Return a manager whose kernel is this very Python, whatever kernels the user has installed under its name."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
            return KernelSpec(argv=command, display_name="Python 3", language="python")

    return AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())
