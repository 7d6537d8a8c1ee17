"""Every notebook in a real browser: run from the top in JupyterLab, and every widget moved.

A browser is large, so this is skipped without Playwright and Chromium; ``make test-browser`` installs both and runs it.
The notebooks are those on the disk: a new chapter is tested as soon as it is built.
"""

import base64
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MINUTE = 60_000  # Playwright counts in milliseconds
CONTROLS = "[role=slider], input[type=text], select"
# Without a network a browser waits for its own errands.
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"

playwright = pytest.importorskip("playwright.sync_api", reason='needs pip install "cfhelpers[browser]"')
pytest.importorskip("jupyterlab", reason='needs pip install "cfhelpers[lab]"')
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH, for instance apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of the browser's own driver
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What JupyterLab serves."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def lab(folder: Path) -> Iterator[str]:
    """The address of a JupyterLab that serves copies of the notebooks, with this Python as their kernel."""
    for path in NOTEBOOKS:
        shutil.copy(path, folder)
    kernels = folder / "kernels" / "python3"
    kernels.mkdir(parents=True)
    kernels.joinpath("kernel.json").write_text(
        f'{{"argv": ["{sys.executable}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"], '
        '"display_name": "Python 3", "language": "python"}'
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        "--no-browser", f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--allow-root",
        f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None",
    ]  # fmt: skip
    paths = {"JUPYTER_PATH": str(folder), "JUPYTER_CONFIG_DIR": str(folder / "config"), "CF_PROFILE": "tiny"}
    paths |= {"PYTHONPATH": str(ROOT), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
    log = (folder / "jupyter.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options], cwd=folder, env={**os.environ, **paths}, stdout=log, stderr=log
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api", server, folder / "jupyter.log")
        yield address
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(log.read_text())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


def run_all(page: Any, lab: str, path: Path) -> None:
    """Open a notebook, run it from the top and wait until its kernel rests."""
    page.goto(f"{lab}/lab/tree/{path.name}?reset")
    panel = "window.jupyterapp.shell.currentWidget"
    page.wait_for_function(f"{KERNEL} === 'idle'", timeout=2 * MINUTE)
    page.evaluate(f"{panel}.content.widgets.forEach(cell => cell.model.type === 'code' && cell.model.clearExecution())")
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    # Idle alone is true before the first cell starts as well: the last code cell has to have its number.
    last = f"{panel}.content.widgets.filter(cell => cell.model.type === 'code').at(-1).model.executionCount"
    failed = (
        f"{panel}.content.model.sharedModel.cells.some(c => (c.outputs ?? []).some(o => o.output_type === 'error'))"
    )
    page.wait_for_function(f"{last} !== null || {failed}", timeout=6 * MINUTE)
    assert not page.evaluate(failed), page.evaluate(
        f"{panel}.content.model.sharedModel.cells.flatMap(c => c.outputs ?? []).filter(o => o.output_type === 'error')"
    )


def explorers(page: Any, path: Path) -> Iterator[Any]:
    """Scroll to every cell whose code shows a widget, one after the other, and yield the widget."""
    code = (ROOT / "notebooks" / "source" / f"{path.stem}.py").read_text()
    count = len(re.findall(r"= widgets\.\w+\(", code))
    assert count, "every chapter has a widget"
    cells = page.evaluate(
        "window.jupyterapp.shell.currentWidget.content.widgets.flatMap("
        r"(cell, index) => /= widgets\.\w+\(/.test(cell.model.sharedModel.source) ? [index] : [])"
    )
    assert len(cells) == count
    for index in cells:
        page.evaluate(f"window.jupyterapp.shell.currentWidget.content.scrollToItem({index}, 'center')")
        cell = page.locator(f".jp-Cell[data-windowed-list-index='{index}']")
        cell.locator(".widget-vbox").first.wait_for(timeout=MINUTE)
        yield cell.locator(".widget-vbox").first  # out of sight it would be empty


def shown(widget: Any) -> tuple[str, list[str]]:
    """Return what a widget's output shows: its text and its figures."""
    output = widget.locator(".widget-html")
    return output.inner_text(), [figure.get_attribute("src") for figure in output.locator("img").all()]


def assert_sound(output: tuple[str, list[str]]) -> None:
    """Fail if a widget shows an error, or a figure with nothing on it."""
    text, figures = output
    assert "Traceback" not in text, text
    for figure in figures:
        image = Image.open(io.BytesIO(base64.b64decode(figure.partition(",")[2])))
        on_white = Image.new("RGBA", image.size, "white")
        on_white.alpha_composite(image.convert("RGBA"))
        shades = np.asarray(on_white.convert("L"))
        assert (shades < 60).sum() > 1000, "a figure lacks its axes and labels"


def move(page: Any, control: Any) -> None:
    """Move a slider one step away from the end at which it may stand, choose, or write something else into a box.

    By keyboard alone: whoever cannot use a mouse must get as far.
    """
    if control.evaluate("element => element.tagName") == "SELECT":
        count = control.locator("option").count()
        control.select_option(index=(control.evaluate("element => element.selectedIndex") + 1) % count)
    elif control.get_attribute("role") == "slider":
        at_the_end = control.get_attribute("aria-valuenow") == control.get_attribute("aria-valuemax")
        control.focus()
        value = control.get_attribute("aria-valuenow")
        page.keyboard.press("ArrowLeft" if at_the_end else "ArrowRight")
        page.wait_for_timeout(100)
        assert control.get_attribute("aria-valuenow") != value, "a slider does not follow the arrow keys"
    else:
        control.fill("How are you today?")
        control.press("Enter")
    page.wait_for_timeout(300)


def label(control: Any) -> str:
    """Return the words beside a control."""
    return control.evaluate(
        "element => element.closest('.widget-inline-hbox')?.querySelector('.widget-label')?.innerText?.trim() ?? ''"
    )


def settle(page: Any, widget: Any, before: tuple[str, list[str]]) -> tuple[str, list[str]]:
    """Wait until a widget shows something else than before, its kernel rests and the page no longer changes."""
    for _ in range(60):
        page.wait_for_timeout(500)
        page.wait_for_function(f"{KERNEL} === 'idle'", timeout=MINUTE)
        now = shown(widget)
        if now != before and (now[0] or now[1]):
            page.wait_for_timeout(1000)  # what the kernel has sent is drawn a little later
            if shown(widget) == now and page.evaluate(f"{KERNEL} === 'idle'"):
                return now
    raise AssertionError(f"a widget shows nothing else than before: {before[0] or 'nothing'}")


def test_an_error_in_a_callback_is_seen(lab: str, folder: Path, browser: Any):
    """The test of the tests: a widget whose callback fails, and one whose picture stands still, are found."""
    code = (
        "%matplotlib inline\nimport ipywidgets\nimport matplotlib.pyplot as plt\n"
        "from cfhelpers.course import widgets\n\n\n"
        "def draw(x):\n    return ('fine', None) if x == 1 else (str(1 / 0), None)\n\n\n"
        "explorer = widgets.Explorer(draw, {'x': ipywidgets.IntSlider(1, 1, 3, description='x')})\nexplorer"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), folder / "broken.ipynb")
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    run_all(page, lab, folder / "broken.ipynb")
    widget = page.locator(".widget-vbox").first
    before = settle(page, widget, ("", []))
    assert_sound(before)
    (control,) = widget.locator(CONTROLS).all()
    assert label(control) == "x"
    move(page, control)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        assert_sound(settle(page, widget, before))
    page.close()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_a_browser_and_its_widgets_answer(path: Path, lab: str, browser: Any, tmp_path: Path):
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    run_all(page, lab, path)
    pictures = Path(os.environ.get("CF_SCREENSHOTS", tmp_path))
    for number, widget in enumerate(explorers(page, path)):
        before = settle(page, widget, ("", []))
        assert_sound(before)
        controls = widget.locator(CONTROLS).all()
        assert controls, "a widget has something to move"
        for control in controls:
            assert label(control), "every control says what it is"
            move(page, control)
            if before[1]:  # a widget with a picture: each control changes it
                after = settle(page, widget, before)
                assert_sound(after)
                assert after[1] != before[1], f"the picture does not follow “{label(control)}”"
                before = after
        if not before[1]:  # of a chat it takes question, temperature and top-k together to change an answer
            assert_sound(settle(page, widget, before))
        page.screenshot(path=pictures / f"{path.stem}-{number}.png")
    assert complaints == []
    page.close()
