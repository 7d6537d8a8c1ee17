"""The built site in a real browser: nothing is fetched from elsewhere, it fits a phone, its figure answers.

Skipped unless ``make site`` has built it and a browser is there.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cfhelpers.course import chromium

SITE = Path(__file__).resolve().parents[3] / "build" / "site"
playwright = pytest.importorskip("playwright.sync_api", reason='needs pip install "cfhelpers[browser]"')
pytestmark = [
    pytest.mark.skipif(chromium.find() is None, reason="needs Chromium: make test-browser installs it"),
    pytest.mark.skipif(not (SITE / "index.html").exists(), reason="there is no site yet: make site"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of the browser's own driver
]
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chrome = driver.chromium.launch(executable_path=chromium.find(), args=QUIET)
        yield chrome
        chrome.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fetch_nothing_from_elsewhere_and_fit(browser: Any, width: int):
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for path in sorted(SITE.glob("*.html")):
        page.goto(path.as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 2, f"{path.name} is {overflow} pixels too wide"
    assert [url for url in asked if not re.match("(file|data|blob):", url)] == []
    assert complaints == []
    page.close()


def test_the_slider_answers_to_the_keyboard(browser: Any):
    page = browser.new_page()
    page.goto((SITE / "index.html").as_uri())
    figure = page.locator(".explore[data-figure=strengths]")
    slider, said = figure.locator("input[type=range]"), figure.locator("output")
    before, where = said.inner_text(), figure.locator("circle.chosen").get_attribute("cx")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert said.inner_text() != before
    assert figure.locator("circle.chosen").get_attribute("cx") != where
    assert "λ = " in slider.get_attribute("aria-valuetext")
    page.close()


def test_every_method_is_shown_on_the_plane_by_keyboard(browser: Any):
    page = browser.new_page()
    page.goto((SITE / "index.html").as_uri())
    figure = page.locator(".explore[data-figure=methods]")
    select, slider, said = figure.locator("select"), figure.locator("input[type=range]"), figure.locator("output")
    names = select.locator("option").all_inner_texts()
    assert len(names) > 10
    seen = set()
    select.focus()
    page.keyboard.press("Home")
    for name in names:
        assert said.inner_text().startswith(name)
        assert figure.locator("circle.chosen").count() == 1
        seen.add(figure.locator("circle.chosen").get_attribute("cx"))
        page.keyboard.press("ArrowDown")
    assert len(seen) > 10, "the chosen point moves"
    select.select_option("elastic weight consolidation")
    slider.focus()
    page.keyboard.press("Home")
    first = said.inner_text()
    page.keyboard.press("ArrowRight")
    assert said.inner_text() != first
    assert "setting 2 of" in slider.get_attribute("aria-valuetext")
    assert "The retention–learning plane" in figure.locator("svg").get_attribute("aria-label")
    page.close()


def test_a_figure_without_javascript_leaves_its_numbers(browser: Any):
    page = browser.new_page(java_script_enabled=False)
    page.goto((SITE / "index.html").as_uri())
    page.get_by_text("The same as a table").click()
    rows = page.locator("details table tbody tr")
    assert rows.count() > 20
    assert "±" in rows.first.inner_text()
    page.close()


def test_the_search_finds_a_word_without_a_server(browser: Any):
    page = browser.new_page()
    page.goto((SITE / "search.html").as_uri() + "?q=reservoir")
    page.locator("#search-results li").first.wait_for(timeout=30_000)
    assert page.locator("#search-results a", has_text="Replay").count() > 0
    page.close()
