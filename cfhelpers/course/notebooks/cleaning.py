"""What a committed notebook must not contain, taken out; what it must have, checked."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

MAXIMUM_BYTES = 300_000
MAXIMUM_CODE_LINES = 25
MAXIMUM_WORDS = 80
_WIDGET = "application/vnd.jupyter.widget-view+json"
_IMAGES = ("image/png", "image/svg+xml", "image/jpeg")
_ALT = re.compile(r"^# alt: *(.+(?:\n#  .+)*)", re.MULTILINE)
_ABSOLUTE_PATH = re.compile(r"(?<![\w.:/~<>-])/(?:home|root|Users|tmp|var|opt|usr|mnt|content)/\w|\b[A-Z]:\\\w")


def clean(notebook: NotebookNode, root: Path) -> None:
    """Remove, in place, what differs from machine to machine or cannot be shown without a kernel.

    Widgets and their state, progress bars, everything on standard error, timings and absolute paths go; figures get
    the alternative text that their cell states, and a palette, which makes them a third as large.

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


def _cell_problems(cell: NotebookNode) -> Iterator[str]:
    if cell.cell_type == "markdown":
        if (words := count_words(cell.source)) > MAXIMUM_WORDS:
            yield f"{words} words of prose; at most {MAXIMUM_WORDS}"
    elif cell.cell_type == "code":
        if (lines := len(cell.source.splitlines())) > MAXIMUM_CODE_LINES:
            yield f"{lines} lines of code; at most {MAXIMUM_CODE_LINES}"
        if any(output.output_type == "error" for output in cell.outputs):
            yield "its output is an error"
        if any(_is_passing(output) for output in cell.outputs) or "execution" in cell.metadata:
            yield "a widget, a progress bar, standard error or timings in its outputs"
        if any(not _alt(figure) for figure in _figures(cell)):
            yield "a figure without alternative text: add a line '# alt: …'"
    if match := _ABSOLUTE_PATH.search(cell.source + "".join(_texts(cell))):
        yield f"an absolute path: {match[0]}…"


def _is_passing(output: NotebookNode) -> bool:
    """Whether an output is only of use while the cell runs."""
    if output.output_type == "stream":
        return output.name == "stderr"
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
