"""Seconds of each notebook, alone and beside a busy neighbour: ``python -m tests.benchmarks.course 00 03``.

The committed notebooks are executed in the profile asked for, each in a process of its own, once on the machine as it
is and once beside a process that multiplies matrices on two threads. ``--against COMMIT`` runs the notebooks of another
commit too, out of a git worktree, each just after ours. Wall seconds and CPU seconds (of all threads, the notebook's
kernel alone) are written as JSON with the machine, the versions and the load average. Run it on a quiet machine.
``--add`` keeps what the file holds of other notebooks, for a profile that takes long. The executed copies are left in
``build/course``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks import measure

ROOT = Path(__file__).resolve().parents[2]
NEIGHBOUR = "import torch; torch.set_num_threads(2); a = torch.rand(1500, 1500)\nwhile True: a @ a"
# The kernel imports the library from the repository that the notebook belongs to; this process from its own.
EXECUTE = """
import os, sys
from pathlib import Path
from cfhelpers.course.notebooks import execution
notebook, target, profile = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
os.environ["PYTHONPATH"] = str(notebook.parents[1])
outcome = execution.execute_file(notebook, target, profile)
sys.exit(outcome.error)
"""


def main(arguments: list[str] | None = None) -> None:
    """Measure the chosen notebooks and write what was found after each of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", nargs="*", help="numbers such as 03; all, if none is given")
    parser.add_argument("--profile", choices=["tiny", "laptop", "full"], default="tiny")
    parser.add_argument("--against", metavar="COMMIT", help="measure the notebooks of this commit too")
    parser.add_argument("--alone", action="store_true", help="leave the runs beside a neighbour out")
    parser.add_argument("--threads", type=int, help="of the kernels; as many as the course takes, if not given")
    parser.add_argument("--add", action="store_true", help="keep what the file holds of other notebooks")
    parser.add_argument("--output", type=Path, help="default: in tests/benchmarks/results")
    chosen = parser.parse_args(arguments)
    path = chosen.output or measure.RESULTS / f"course-{chosen.profile}.json"
    before = measure.provenance()
    stored = json.loads(path.read_text(encoding="utf-8")) if chosen.add and path.exists() else {}
    found: dict[str, dict[str, Any]] = stored.get("notebooks", {})
    before, threads = stored.get("before", before), {"kernel_threads": chosen.threads} if chosen.threads else {}
    with tempfile.TemporaryDirectory() as folder, repositories(chosen.against, Path(folder)) as roots:
        for name, root, notebook in notebooks(roots, tuple(chosen.chapters)):
            seconds = {"alone": run(notebook, root, chosen.profile, chosen.threads)}
            if not chosen.alone:
                with neighbour():
                    seconds["beside a neighbour"] = run(notebook, root, chosen.profile, chosen.threads)
            found.setdefault(name, {})[notebook.stem] = seconds
            print(name, notebook.stem, seconds, flush=True)
            after = measure.provenance()
            measure.write(
                path, {"before": before, "after": after, "profile": chosen.profile, **threads, "notebooks": found}
            )


@contextmanager
def repositories(against: str | None, folder: Path) -> Iterator[Mapping[str, Path]]:
    """This repository, and a worktree of another commit if one is asked for, by name."""
    if against is None:
        yield {"this commit": ROOT}
        return
    other = folder / "other"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", str(other), against], check=True, capture_output=True)
    try:
        yield {"this commit": ROOT, against: other}
    finally:
        subprocess.run([*git, "remove", "--force", str(other)], check=True)


def notebooks(roots: Mapping[str, Path], chapters: tuple[str, ...]) -> Iterator[tuple[str, Path, Path]]:
    """Name, repository and notebook, those of one chapter one after the other.

    Raises:
        SystemExit: There is no notebook of that chapter here.
    """
    own = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    missing = [each for each in chapters if not any(path.name.startswith(each) for path in own)]
    if missing:
        raise SystemExit(f"there is no notebook {' or '.join(missing)}; there are {', '.join(p.stem for p in own)}")
    for chapter in [path.name[:2] for path in own if not chapters or path.name.startswith(chapters)]:
        for name, root in roots.items():
            for path in sorted((root / "notebooks").glob(f"{chapter}_*.ipynb")):
                yield name, root, path


def run(notebook: Path, root: Path, profile: str, threads: int | None = None) -> dict[str, Any]:
    """Wall and CPU seconds of one notebook, and the load average after it; the error's last line where it stopped."""
    usual = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")}
    usual |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
    target = root / "build" / "course" / profile / notebook.name
    command = [sys.executable, "-c", EXECUTE, str(notebook), str(target), profile]
    cpu, wall = children_seconds(), time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=usual, capture_output=True, text=True, check=False)
    seconds: dict[str, Any] = {"wall": time.perf_counter() - wall, "cpu": children_seconds() - cpu}
    seconds["load"] = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return seconds if done.returncode == 0 else seconds | {"error": done.stderr.strip().splitlines()[-1]}


def children_seconds() -> float:
    """CPU seconds of all ended children and of what they waited for; NaN on Windows, which does not tell."""
    if platform.system() == "Windows":
        return float("nan")
    times = os.times()
    return times.children_user + times.children_system


@contextmanager
def neighbour() -> Iterator[None]:
    """A process of two busy threads for as long as this lasts."""
    process = subprocess.Popen([sys.executable, "-c", NEIGHBOUR])
    try:
        time.sleep(5)  # until it has imported torch and is busy
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
