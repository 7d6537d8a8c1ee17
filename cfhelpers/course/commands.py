"""The commands of ``python -m cfhelpers``: what a newcomer, a maintainer and a pipeline type."""

import argparse
import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cfhelpers import environment
from cfhelpers.course import installation
from cfhelpers.course.homework import command as homework

if TYPE_CHECKING:
    from cfhelpers.course.notebooks.execution import Outcome

# The extras that each command needs.
_EXTRAS = {
    "course": ("lab",),
    "lab": ("lab",),
    "results": ("lab",),
    "pretrain": ("lab",),
    "build": ("lab", "teacher"),
    "test": ("lab", "test"),
    "homework": ("lab", "teacher"),
    "site": ("site",),
    "test-browser": ("lab", "test", "browser"),
    "bench": ("lab", "test", "benchmark"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command in the project's environment and return its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # "?" for λ in a file that Windows writes in its old code page
    options = _parsed(arguments)
    profile = getattr(options, "profile", None)
    try:
        root = installation.repository()
        if profile == "full":
            environment.require_hub()  # before anything is installed
        python = installation.ready_python(root, _EXTRAS[options.command], laptop_models=profile == "laptop")
    except (installation.InstallationError, environment.HubUnreachable) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    try:
        if python.absolute() != Path(sys.executable).absolute():
            return subprocess.run([str(python), "-m", "cfhelpers", *arguments], cwd=root, check=False).returncode
        return options.run(options, root)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def _parsed(arguments: list[str]) -> argparse.Namespace:
    """Parse a command line; what ``lab`` does not know is JupyterLab's."""
    parser = _parser()
    options, others = parser.parse_known_args(arguments)
    if others and options.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    options.others = [each for each in others if each != "--"]
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cfhelpers",
        description="What a language model loses when it learns something new: the course's commands.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def add(name: str, run: Callable[[argparse.Namespace, Path], int], text: str) -> argparse.ArgumentParser:
        description = text[0].upper() + text[1:] + "."
        command = commands.add_parser(name, help=text, description=description, allow_abbrev=False)
        command.set_defaults(run=run)
        return command

    profile = {"choices": environment.PROFILES, "help": "models and data: see the README's table of profiles"}
    course = add("course", _course, "install, execute the notebooks and print a table")
    course.add_argument("chapters", nargs="*", help="their numbers, such as 03; all, if none is given")
    course.add_argument("--profile", default="tiny", **profile)
    add("test", _test, "run every check and every test")
    add(
        "test-browser",
        _test_browser,
        "run every notebook and move every widget in Chromium, which is installed if need be",
    )
    lab = add("lab", _lab, "open JupyterLab on the notebooks; other options, such as --allow-root, are handed on to it")
    lab.add_argument("--profile", **profile)
    build = add("build", _build, "build the notebooks from notebooks/source and execute them in the profile tiny")
    build.add_argument("names", nargs="*", help="beginnings of names, such as 03; all, if none is given")
    results = add("results", _results, "compute the stored numbers of a chapter again; goes on where it was stopped")
    results.add_argument("chapter", help="the chapter's number, such as 03")
    results.add_argument("--profile", default="tiny", **profile)
    results.add_argument("--keep", action="store_true", help="run only what the stored file lacks")
    pretrain = add("pretrain", _pretrain, "train the bundled tiny models again")
    pretrain.add_argument("which", nargs="?", choices=("causal", "encoder"), help="one of the two; both, if not given")
    add("site", _site, "build the notebooks and the reference as a static site that needs no network: build/site")
    homework.add_arguments(add("homework", homework.run, homework.DESCRIPTION))
    bench = add("bench", _bench, "measure the Fisher diagonal and the penalty against their peers")
    bench.add_argument("--threads", type=int, default=1, help="CPU threads; the committed results have 1")
    return parser


def _course(options: argparse.Namespace, root: Path) -> int:
    found = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    unknown = [each for each in options.chapters if not any(path.name.startswith(each) for path in found)]
    if not found or unknown:
        there = f"none of {' or '.join(unknown)}; there are {', '.join(path.stem for path in found)}"
        print(f"There is {there if found else 'no notebook'} in notebooks/.", file=sys.stderr)
        return 1
    paths = [path for path in found if not options.chapters or path.name.startswith(tuple(options.chapters))]
    print(
        f"Running {len(paths)} notebook{'s' if len(paths) > 1 else ''} in the profile {options.profile!r}.", flush=True
    )
    from cfhelpers.course.notebooks import execution  # imports nbformat, which takes a second or two

    outcomes = [
        execution.execute_file(path, root / "build" / "course" / options.profile / path.name, options.profile)
        for path in paths
    ]
    print(f"\n{course_table(outcomes)}")
    for outcome in outcomes:
        if outcome.error:
            print(f"\n{outcome.name}: {outcome.error}", file=sys.stderr)
    print(f"\nThe executed copies are in build/course/{options.profile}/. To open the notebooks and run them yourself:")
    print("  make lab (or: python -m cfhelpers lab), or any editor of notebooks with the interpreter")
    print(f"  {Path(sys.executable).parent.parent.name}/{Path(sys.executable).parent.name}/{Path(sys.executable).name}")
    return 1 if any(outcome.error for outcome in outcomes) else 0


def course_table(outcomes: "Sequence[Outcome]") -> str:
    """Lay out one line per notebook: name, seconds, whether it ran to its end."""
    width = max(len("notebook"), *(len(outcome.name) for outcome in outcomes))
    lines = [f"{'notebook':<{width}}  seconds  ok"]
    lines += [f"{o.name:<{width}}  {o.seconds:7.1f}  {'no' if o.error else 'yes'}" for o in outcomes]
    return "\n".join(lines)


def _test(_: argparse.Namespace, root: Path) -> int:
    python = sys.executable
    steps = {
        "format": [python, "-m", "ruff", "format", "--check", "."],
        "lint": [python, "-m", "ruff", "check", "."],
        "types": [python, "-m", "pyright", "--pythonpath", python],
        "tests": [python, "-m", "pytest", "--numprocesses=2", "--durations=10"],
    }
    # One thread for each of the two workers, and no test that waits for a network or depends on who runs it.
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    variables.pop("CF_PROFILE", None)
    for name, command in steps.items():
        print(f"== {name}: {' '.join(['python', *command[1:]])}", flush=True)
        if subprocess.run(command, cwd=root, env=variables, check=False).returncode != 0:
            print(f"== {name} failed; what comes after it did not run", file=sys.stderr)
            return 1
    return 0


def _test_browser(_: argparse.Namespace, root: Path) -> int:
    from cfhelpers.course import chromium

    if problem := chromium.ensure():
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    tests = ["tests/course/test_browser.py", "tests/course/site/test_in_a_browser.py"]  # the site, if it has been built
    command = [sys.executable, "-m", "pytest", *tests, "--durations=0"]
    return subprocess.run(command, cwd=root, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=False).returncode


def _site(_: argparse.Namespace, root: Path) -> int:
    from cfhelpers.course.site import building

    return building.build(root)


def _lab(options: argparse.Namespace, root: Path) -> int:
    variables = {**os.environ, **({"CF_PROFILE": options.profile} if options.profile else {})}
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--notebook-dir",
        str(root),
        *options.others,
        str(root / "notebooks"),
    ]
    return subprocess.run(command, cwd=root, env=variables, check=False).returncode


def _build(options: argparse.Namespace, root: Path) -> int:
    from cfhelpers.course.notebooks import building

    return building.build_files(root, options.names)


def _results(options: argparse.Namespace, root: Path) -> int:
    from cfhelpers.course.experiments import EXPERIMENTS
    from cfhelpers.course.results import regenerate
    from cfhelpers.course.stored_runs import UnreadableResults
    from cfhelpers.course.summary import update_readme

    chapters = sorted({experiment.chapter for experiment in EXPERIMENTS})
    if options.chapter not in chapters:
        print(f"Chapter {options.chapter!r} has no stored results; there are {', '.join(chapters)}.", file=sys.stderr)
        return 1
    try:
        print(f"Wrote {regenerate(options.chapter, profile=options.profile, keep=options.keep)}")
    except UnreadableResults as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    update_readme(root / "README.md")
    return 0


def _bench(options: argparse.Namespace, root: Path) -> int:
    for name in ("fisher", "penalty"):
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", "--threads", str(options.threads)]
        if subprocess.run(command, cwd=root, check=False).returncode != 0:
            return 1
    return 0


def _pretrain(options: argparse.Namespace, _: Path) -> int:
    if options.which in (None, "causal"):
        from cfhelpers.models.pretraining.causal import pretrain_causal

        pretrain_causal()
    if options.which in (None, "encoder"):
        from cfhelpers.models.pretraining.encoder import pretrain_encoder

        pretrain_encoder()
    return 0
