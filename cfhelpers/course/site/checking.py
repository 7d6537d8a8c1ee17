"""What must not be on a page: a link to nowhere, a figure that says nothing, anything fetched from elsewhere."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches by itself when it shows a page; a link (a href) is followed by the reader only.
_FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.silent: list[str] = []
        self.formulas: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element links to, fetches and says."""
        given = dict(attrs)
        self.anchors |= {str(given[name]) for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag in _FETCHED and given.get(_FETCHED[tag]):
            self.fetched.append(str(given[_FETCHED[tag]]))
        if (
            tag == "link"
            and given.get("rel") in ("stylesheet", "preload", "icon", "shortcut icon")
            and given.get("href")
        ):
            self.fetched.append(str(given["href"]))
        if given.get("class") == "formula-not-drawn":
            self.formulas.append(str(given.get("title")))
        if tag == "img" and not (given.get("alt") or "").strip():
            self.silent.append(str(given.get("src"))[:80])


def problems(site: Path) -> list[str]:
    """Name everything that is wrong with the pages of a built site, page by page."""
    pages = {path.resolve(): _read(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site.resolve()).as_posix()
        found += [f"{name}: {text}" for text in _page_problems(path, page, pages)]
    return found


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _page_problems(path: Path, page: _Page, pages: dict[Path, _Page]) -> Iterator[str]:
    for source in page.silent:
        yield f"a figure without alternative text: {source}"
    for reason in page.formulas:
        yield f"a formula that could not be drawn: {reason}"
    for address in page.fetched:
        if urlsplit(address).scheme in ("http", "https") or address.startswith("//"):
            yield f"fetched from elsewhere: {address}"
    for address in [*page.links, *page.fetched]:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or address.startswith("//"):
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        if not target.exists():
            yield f"leads to nothing: {address}"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            yield f"leads to no such place: {address}"
