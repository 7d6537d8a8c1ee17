"""The library's shape: imports point downwards, modules stay short, importing is cheap, removed names stay out."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "cfhelpers"
MODULES = sorted(LIBRARY.rglob("*.py"))
SOURCES = sorted((ROOT / "notebooks" / "source").glob("*.py"))

# Read from the top: a folder may import what stands below it, never above.
FLOORS = {
    "course": 9,
    "__main__": 9,
    "plots": 8,
    "tables": 8,
    "training": 7,
    "worlds": 7,
    "methods": 6,
    "evaluation": 5,
    "models": 5,
    "tasks": 4,
    "evaluate_metrics": 4,
    "fisher": 3,
    "metrics": 1,
    "environment": 1,
}

# Names that transformers, datasets and evaluate have dropped, and what stands in their place.
REMOVED_ARGUMENTS = {
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
    "logging_dir": "TENSORBOARD_LOGGING_DIR",
    "overwrite_output_dir": "nothing",
    "warmup_ratio": "warmup_steps",
    "save_safetensors": "nothing",
    "group_by_length": "train_sampling_strategy",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(node: ast.AST, *, types: bool) -> Iterator[ast.AST]:
    """Walk the tree; without what is imported for types only, unless ``types``."""
    for child in ast.iter_child_nodes(node):
        if types or not is_type_checking(child):
            yield child
            yield from statements(child, types=types)


def imported_modules(path: Path, *, types: bool = True) -> set[str]:
    """Name the modules of the library that a module imports, at its top or inside a function."""
    known = {module_name(other) for other in MODULES}
    found = set()
    for node in statements(syntax(path), types=types):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in names]
        else:
            continue
        found |= {name for name in names if name and name.split(".")[0] == "cfhelpers"}
    return found


def floor(name: str) -> int:
    """Return the floor of a module's folder; the package itself only forwards names."""
    folder = name.split(".")[1]
    assert folder in FLOORS, f"cfhelpers.{folder} has no floor: give it the lowest one that its imports allow"
    return FLOORS[folder]


def room(name: str) -> str:
    """Return the folder that a module lies in, without the package's name; a module at the root is its own room."""
    return name.split(".")[1]


def test_at_the_root_stands_only_the_machine():
    assert {path.name for path in LIBRARY.glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "environment.py",
    }


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent != LIBRARY or path.stem != "__init__"])
def test_imports_point_downwards(path: Path):
    own = floor(module_name(path))
    imported = imported_modules(path)
    assert "cfhelpers" not in imported, "import the module that has the name, not the package that forwards it"
    upwards = {name for name in imported if floor(name) > own}
    assert not upwards, f"floor {own} imports from above"


def test_no_folder_imports_itself_through_another():
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        if path == LIBRARY / "__init__.py":
            continue
        own = room(module_name(path))
        others = {room(name) for name in imported_modules(path, types=False)} - {own}
        graph[own] = graph.get(own, set()) | others
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_no_module_imports_itself_through_another():
    graph = {module_name(path): imported_modules(path, types=False) for path in MODULES if path.parent != LIBRARY}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_enough_to_read(path: Path):
    assert len(path.read_text().splitlines()) <= 360


def python(code: str, *flags: str) -> str:
    command = [sys.executable, *flags, "-c", code]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_importing_the_library_imports_nothing_heavy():
    code = "import sys, cfhelpers; dir(cfhelpers); print(*sorted({name.split('.')[0] for name in sys.modules}))"
    assert not set(python(code).split()) & {"torch", "numpy", "transformers", "datasets", "peft", "evaluate"}


def test_heavy_libraries_wait_for_their_first_use():
    modules = "environment, metrics, fisher, models, evaluation, tasks, training, plots, methods, checks, worlds"
    code = (
        f"import sys; from cfhelpers import {modules}; from cfhelpers.training import runtime, records; "
        "print(*sorted(name for name in sys.modules if '.' not in name))"
    )
    assert not set(python(code).split()) & {"transformers", "datasets", "peft", "evaluate", "matplotlib"}


def test_the_commands_start_with_nothing_but_pythons_own_library():
    # -S leaves out site-packages, -I everything else that is not Python's.
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from cfhelpers.course import commands; "
        "print(commands._parser().prog)"
    )
    assert python(code, "-S", "-I") == "python -m cfhelpers"


def test_every_public_name_can_be_had():
    import cfhelpers

    for name in cfhelpers.__all__:
        assert getattr(cfhelpers, name) is not None
    assert set(cfhelpers.__all__) <= set(dir(cfhelpers))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cfhelpers.nothing


@pytest.mark.parametrize("path", [*MODULES, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_name_that_its_library_has_dropped(path: Path):
    assert list(dropped_names(syntax(path))) == []


def dropped_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "transformers":
            yield from ("transformers.AdamW" for alias in node.names if alias.name == "AdamW")
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "transformers.AdamW":
            yield "transformers.AdamW"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        arguments = {keyword.arg for keyword in node.keywords if keyword.arg}
        yield from (f"{name}= (now {REMOVED_ARGUMENTS[name]})" for name in sorted(arguments & set(REMOVED_ARGUMENTS)))
        if called.endswith("Trainer") and "tokenizer" in arguments:
            yield f"{called}(tokenizer=) (now processing_class)"
        first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        if isinstance(first, str) and "/" not in first:
            if called.endswith("load_dataset") and first not in {"json", "csv", "parquet", "text"}:
                yield f"load_dataset({first!r}): bare ids are gone"
            if called == "evaluate.load":
                yield f"evaluate.load({first!r}): needs the hub"


@pytest.mark.parametrize(
    "code",
    [
        "from transformers import AdamW",
        "import transformers\ntransformers.AdamW(x)",
        "TrainingArguments(evaluation_strategy='epoch')",
        "Trainer(model, tokenizer=tokenizer)",
        "ContinualTrainer(model, tokenizer=tokenizer)",
        "datasets.load_dataset('glue', 'mnli')",
        "load_dataset('daily_dialog')",
        "evaluate.load('accuracy')",
    ],
)
def test_a_dropped_name_is_found(code: str):
    assert len(list(dropped_names(ast.parse(code)))) == 1


def test_what_works_today_is_not_taken_for_a_dropped_name():
    code = "load_dataset('nyu-mll/glue')\nTrainer(processing_class=t)\nevaluate.load('/a/folder')\nencode(tokenizer=t)"
    assert list(dropped_names(ast.parse(code))) == []
