"""What a committed notebook must not contain, taken out; what it must have, checked."""

import ast
import base64
import io
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

MAXIMUM_BYTES = 300_000
MAXIMUM_CODE_LINES = 20
MAXIMUM_WORDS = 90
MAXIMUM_MEDIAN_WORDS = 45
MAXIMUM_SENTENCE_LINES = 4
MAXIMUM_MARKDOWN_SHARE = 0.15  # of the code lines, in cells that call Markdown: a reader's code is about the subject
# A bar of tqdm: "naive, seed 0:  40%|████      | 48/120 [00:01<00:02, 33.1it/s]", or without a total "5it [00:01, …]".
_PROGRESS_BAR = re.compile(r"\d+%\|.*\||\d+it \[")
_WIDGET = "application/vnd.jupyter.widget-view+json"
_IMAGES = ("image/png", "image/svg+xml", "image/jpeg")
_ALT = re.compile(r"^# alt: *(.+(?:\n#  .+)*)", re.MULTILINE)
_ABSOLUTE_PATH = re.compile(r"(?<![\w.:/~<>-])/(?:home|root|Users|tmp|var|opt|usr|mnt|content)/\w|\b[A-Z]:\\\w")


def clean(notebook: NotebookNode, root: Path) -> None:
    """Remove, in place, what differs from machine to machine or cannot be shown without a kernel.

    Widgets and their state, progress bars, timings and absolute paths go; figures get the alternative text that their
    cell states, and a palette, which makes them a third as large. What else stands on standard error stays, as a red
    box that learners would see, and :func:`problems` names it.

    Args:
        notebook: An executed notebook.
        root: The repository; paths in it become relative to it.
    """
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("execution", None)
        cell.outputs = [output for output in cell.outputs if not _is_passing(output)]
        for output in cell.outputs:
            _clean_text(output, root)
        for figure in _figures(cell):
            _shrink(figure)
        for figure, text in zip(_figures(cell), _alternative_texts(cell), strict=False):
            _describe(figure, text)


def problems(notebook: NotebookNode) -> list[str]:
    """Name everything in a committed notebook that breaks the course's rules, cell by cell."""
    found = []
    for number, cell in enumerate(notebook.cells, start=1):
        found += [f"cell {number}: {text}" for text in _cell_problems(cell)]
    found += _balance_problems(notebook)
    if "widgets" in notebook.metadata:
        found.append("widget state in the metadata")
    if (size := len(nbformat.writes(notebook).encode())) > MAXIMUM_BYTES:
        found.append(f"{size} bytes; at most {MAXIMUM_BYTES}")
    return found


def count_words(markdown: str) -> int:
    """Count the words of a prose cell; code, formulas, tables, tags and addresses are not prose."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$", " ", markdown, flags=re.DOTALL)
    text = re.sub(r"^\s*\|.*$", " ", text, flags=re.MULTILINE)
    text = re.sub(r"\$[^$\n]+\$", "x", text)
    text = re.sub(r"<[^>]+>|\]\([^)]*\)", " ", text)
    return len(re.findall(r"\w[\w'’.,:/%-]*", text))


def count_code_lines(code: str) -> int:
    """Count the lines of a code cell that are not blank."""
    return sum(1 for line in code.splitlines() if line.strip())


def _balance_problems(notebook: NotebookNode) -> Iterator[str]:
    """Name what is wrong with the notebook as a whole: too wordy, or too much code that only builds text."""
    words = [count_words(cell.source) for cell in notebook.cells if cell.cell_type == "markdown"]
    if words and (median := statistics.median(words)) > MAXIMUM_MEDIAN_WORDS:
        yield f"its prose cells have {median:g} words in the median; at most {MAXIMUM_MEDIAN_WORDS}"
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    lines = sum(map(count_code_lines, code))
    building_text = sum(count_code_lines(source) for source in code if _markdown_calls(source))
    if building_text > MAXIMUM_MARKDOWN_SHARE * lines:
        yield (
            f"{building_text} of its {lines} lines of code stand in cells that call Markdown; at most "
            f"{MAXIMUM_MARKDOWN_SHARE:.0%}: use cf.tables, or a DataFrame"
        )


def _markdown_calls(code: str) -> list[ast.Call]:
    """Return the calls of ``Markdown`` in a code cell; none where it is no plain Python, as with a magic command."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return []
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [call for call in calls if getattr(call.func, "id", getattr(call.func, "attr", "")) == "Markdown"]


def _sentence_lines(call: ast.Call) -> int:
    """Return over how many lines a call's arguments go."""
    ends = [argument.end_lineno or argument.lineno for argument in call.args]
    return max(ends) - call.args[0].lineno + 1 if ends else 0


def _cell_problems(cell: NotebookNode) -> Iterator[str]:
    if cell.cell_type == "markdown":
        if (words := count_words(cell.source)) > MAXIMUM_WORDS and not cell.source.startswith("## References"):
            yield f"{words} words of prose; at most {MAXIMUM_WORDS}"
    elif cell.cell_type == "code":
        yield from _code_problems(cell)
    if match := _ABSOLUTE_PATH.search(cell.source + "".join(_texts(cell))):
        yield f"an absolute path: {match[0]}…"


def _code_problems(cell: NotebookNode) -> Iterator[str]:
    if (lines := count_code_lines(cell.source)) > MAXIMUM_CODE_LINES:
        yield f"{lines} lines of code; at most {MAXIMUM_CODE_LINES}"
    if any(_sentence_lines(call) > MAXIMUM_SENTENCE_LINES for call in _markdown_calls(cell.source)):
        yield f"a computed text of more than {MAXIMUM_SENTENCE_LINES} lines"
    if any(output.output_type == "error" for output in cell.outputs):
        yield "its output is an error"
    if any(_is_passing(output) for output in cell.outputs) or "execution" in cell.metadata:
        yield "a widget, a progress bar or timings in its outputs"
    for output in cell.outputs:
        if _is_standard_error(output) and not _is_passing(output):
            yield f"standard error, which learners see as a red box: {output.text.strip()[:200]}"
    if any(not _alt(figure) for figure in _figures(cell)):
        yield "a figure without alternative text: add a line '# alt: …'"


def _is_standard_error(output: NotebookNode) -> bool:
    return output.output_type == "stream" and output.name == "stderr"


def _is_passing(output: NotebookNode) -> bool:
    """Whether an output is only of use while the cell runs: a widget or a progress bar."""
    if output.output_type == "stream":
        lines = [line for line in re.split(r"[\r\n]", output.text) if line.strip()]
        return _is_standard_error(output) and all(_PROGRESS_BAR.search(line) for line in lines)
    data = output.get("data", {})
    return _WIDGET in data or "<progress" in data.get("text/html", "")


def _clean_text(output: NotebookNode, root: Path) -> None:
    def relative(text: str) -> str:
        return text.replace(f"{root}/", "").replace(str(Path.home()), "~")

    if output.output_type == "stream":
        # A line that rewrites itself keeps its last state, as on a terminal.
        output.text = relative(re.sub(r"^.*\r(?!\n)", "", output.text, flags=re.MULTILINE))
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/"):
            output.data[kind] = relative(content)


def _texts(cell: NotebookNode) -> Iterator[str]:
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        for kind, content in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield content


def _figures(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.outputs if set(_IMAGES) & set(output.get("data", {}))]


def _alternative_texts(cell: NotebookNode) -> list[str]:
    return [re.sub(r"\s*\n# *", " ", match[1]).strip() for match in _ALT.finditer(cell.source)]


def _shrink(figure: NotebookNode) -> None:
    """Store a PNG with 128 colours of its own, which a chart does not miss."""
    if "image/png" not in figure.data:
        return
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(figure.data["image/png"]))) as image:
        on_white = Image.new("RGBA", image.size, "white")
        on_white.alpha_composite(image.convert("RGBA"))
    small = io.BytesIO()
    on_white.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    figure.data["image/png"] = base64.b64encode(small.getvalue()).decode()


def _describe(figure: NotebookNode, text: str) -> None:
    """Write the text where nbconvert reads it, and in place of ``<Figure size …>``, shown where images are not."""
    for kind in set(_IMAGES) & set(figure.data):
        figure.metadata.setdefault(kind, NotebookNode())["alt"] = text
    figure.data["text/plain"] = text


def _alt(figure: NotebookNode) -> str:
    return next((figure.metadata.get(kind, {}).get("alt", "") for kind in _IMAGES if kind in figure.data), "")
